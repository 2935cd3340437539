// Package execproto defines the wire between the shim, the toolexec proxy and
// the programs inside a sidecar: names, limits and frames. docs/protocol.md is
// the specification; the names are those of protocol versions 1 and 2 of the
// existing program of this kind, version 3 is ours.
//
// It imports the standard library only, because the static shim links it.
package execproto

import "path"

// The endpoints of the proxy.
const (
	PathExec   = "/exec"
	PathSignal = "/signal"
	PathNotify = "/notify"
	PathTools  = "/tools"
	PathMCP    = "/mcp"
)

// Header and trailer names.
const (
	HeaderProto    = "X-Aifo-Proto"    // request: protocol version, "1", "2" or "3"
	HeaderExecID   = "X-Aifo-Exec-Id"  // request: exec id chosen by the client
	HeaderExitCode = "X-Exit-Code"     // response header (plain replies) or trailer (version 2)
	HeaderRespID   = "X-Exec-Id"       // response: the exec id in use
	HeaderFiles    = "X-Aifo-Files"    // request: the client would hand over its files; response: it shall
	HeaderTerminal = "X-Aifo-Terminal" // response: the tool gets the terminal that was asked for
	HeaderNotice   = "X-Aifo-Notice"   // response 102: a line for people, while a call waits
)

// TerminalGiven is the only value of HeaderTerminal.
const TerminalGiven = "1"

// FilesStdio is the only value of HeaderFiles: standard input, output and error.
const FilesStdio = "3"

// Upgrade is the protocol name in the Upgrade header of a version 3 call.
const Upgrade = "aifo-exec/3"

// UpgradeMCP is the same for a connection that carries the Model Context Protocol.
const UpgradeMCP = "aifo-mcp/1"

// Form keys of a request body.
const (
	KeyTool   = "tool"
	KeyCwd    = "cwd"
	KeyArg    = "arg"
	KeyExecID = "exec_id"
	KeySignal = "signal"
	KeyCmd    = "cmd" // of a notification, in place of a tool

	// Of version 3 only.
	KeyKind = "kind" // toolchain that shall run the tool, whatever its name
	KeyPath = "path" // the tool as it was called, if by a path
	KeyEnv  = "env"  // NAME=value, repeated
	KeyTTY  = "tty"  // streams of the tool that shall be a terminal (ParseTTY)
	KeyRows = "rows" // of that terminal
	KeyCols = "cols"
)

// Environment variables that tell a shim where its proxy is.
const (
	EnvURL = "AIFO_TOOLEEXEC_URL"
	// EnvWorkspace says where the workspace is mounted when it is not at Workspace.
	EnvWorkspace = "AIFO_WORKSPACE"
	EnvToken     = "AIFO_TOOLEEXEC_TOKEN" //nolint:gosec // the name of a variable, not a token
	EnvExecID    = "AIFO_EXEC_ID"
	// EnvMounts tells the boot program what must be mounted (package mountid).
	EnvMounts = "AIFO_MOUNTS"
)

// Exit codes with a meaning of their own (docs/exit-codes.md).
const (
	ExitTimeout       = 124 // the call ran longer than its time limit
	ExitNotExecutable = 126
	ExitNotFound      = 127
	ExitRefused       = 86 // refused by the proxy, or no proxy configured
	ExitLost          = 125
)

// Limits of one request. An argument list is limited by what Linux takes:
// MAX_ARG_STRLEN for one string and 2 MiB in all for the usual stack limit. As
// there, the variables of the call count as arguments do.
const (
	MaxToolLen     = 64
	MaxNameLen     = 255  // NAME_MAX, for a program that is not on the list of tools
	MaxCmdLen      = 128  // for a notification command
	MaxPathLen     = 4096 // PATH_MAX, for cwd and path
	MaxArgLen      = 128<<10 - 1
	MaxArgs        = 128 << 10
	MaxArgsTotal   = 2 << 20
	MaxBody        = 8 << 20  // urlencoding takes up to three bytes for one
	MaxBodyNoAuth  = 64 << 10 // what a client without the token may make us read
	MaxHeaderLines = 1024
	MaxExecIDLen   = 64
)

// Programs of ours that stand beside the tools in an agent's container.
const (
	NameShim   = "aifo-shim"
	NameRun    = "aifo-run"   // runs any program in a sidecar
	NameTools  = "aifo-tools" // tells which tools there are
	NameMCP    = "aifo-mcp"   // connects its standard streams to the MCP server
	NameNotify = "say"        // runs a notification command on the host
	// NameNotifyCmd runs the one that the user has configured, whatever its name.
	NameNotifyCmd = "notifications-cmd"
)

// Notifies reports whether a program of ours runs a notification command.
func Notifies(name string) bool { return name == NameNotify || name == NameNotifyCmd }

// Places inside containers.
const (
	Workspace  = "/workspace"                 // the workspace mount in every container, unless EnvWorkspace says another
	Home       = "/home/coder"                // HOME in every container
	ShimDir    = "/opt/aifo/bin"              // the shim directory in an agent container
	ShimBinary = "/opt/aifo/bin/aifo-shim"    // the static binary, in every container
	SocketDir  = "/run/aifo"                  // the mount of the socket directory
	SocketName = "toolexec.sock"              // the proxy's unix socket
	SocketPath = SocketDir + "/" + SocketName // the same, seen from a container
	ConfigDir  = "/opt/aifo/config"           // where the host's configuration files are seen in an agent's container
	CacheRoot  = "/var/cache/aifo"            // where cache volumes are mounted in a sidecar
	SocketURL  = "unix://" + SocketPath
)

// OwnDirs are the directories of containers that are ours or the kernel's: nothing of a user's may
// be mounted or looked for in them.
var OwnDirs = []string{path.Dir(ShimDir), SocketDir, CacheRoot, "/proc", "/sys", "/dev"}

// The way out of a container without a network: a relay in it listens on EgressAddr and
// passes each connection on to the unix socket of aifo-coder (docs/network.md).
const (
	EgressAddr       = "127.0.0.1:19128"
	EgressURL        = "http://" + EgressAddr
	EgressSocketName = "egress.sock"
	EgressSocket     = SocketDir + "/" + EgressSocketName // seen from a container
	BrokerPath       = "/broker/"                         // requests to the credential broker begin so
	GitPath          = "/git/"                            // and those of git
)

// ValidExecID reports whether id may name a call: 1 to MaxExecIDLen letters,
// digits, '-' or '_', so that it is safe in an environment variable, a log line
// and an argument vector.
func ValidExecID(id string) bool {
	if id == "" || len(id) > MaxExecIDLen {
		return false
	}
	for _, c := range []byte(id) {
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && c != '-' && c != '_' {
			return false
		}
	}
	return id[0] != '-'
}
