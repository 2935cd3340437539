//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var kernelRows = []row{
	{"sockets", sockets},
	{"mount", func(target) (string, error) { return errno(unix.Mount("none", "/mnt", "tmpfs", 0, "")) }},
	{"remount", func(target) (string, error) {
		return errno(unix.Mount("", "/opt/aifo/bin", "", unix.MS_REMOUNT|unix.MS_BIND, ""))
	}},
	{"namespaces", func(target) (string, error) { return errno(unix.Unshare(unix.CLONE_NEWUSER | unix.CLONE_NEWNS)) }},
	{"device", func(target) (string, error) {
		return errno(unix.Mknod("/workspace/disk", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))))
	}},
	{"kernel module", func(target) (string, error) { return errno(unix.FinitModule(0, "", 0)) }},
	{"bpf", func(target) (string, error) {
		_, _, e := unix.Syscall(unix.SYS_BPF, 0, 0, 0)
		return errno(e)
	}},
	{"kernel settings", func(target) (string, error) {
		return errno(os.WriteFile("/proc/sys/kernel/core_pattern", []byte("|/workspace/x"), 0))
	}},
	{"kernel keys", func(target) (string, error) {
		_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true)
		return errno(err)
	}},
	{"ptrace init", func(target) (string, error) { return errno(unix.PtraceAttach(1)) }},
	{"init's environment", func(target) (string, error) {
		_, err := os.ReadFile("/proc/1/environ")
		return errno(err)
	}},
	{"init's memory", func(target) (string, error) {
		f, err := os.OpenFile("/proc/1/mem", os.O_RDWR, 0)
		if err == nil {
			_ = f.Close()
		}
		return errno(err)
	}},
	{"processes of others", processes},
	{"become root", func(target) (string, error) { return errno(unix.Setuid(0)) }},
	{"set-user-ID programs", setUID},
	{"capabilities", capabilities},
	{"raw socket", func(target) (string, error) {
		_, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
		return errno(err)
	}},
	{"packet socket", func(target) (string, error) {
		_, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		return errno(err)
	}},
	{"write to the shims", func(target) (string, error) {
		return errno(os.WriteFile("/opt/aifo/bin/cargo", nil, 0o755))
	}},
	{"fill the disk", fillDisk},
	{"fill the process table", fillProcesses},
}

// errno returns the name of a system call's error, and "done" for none.
func errno(err error) (string, error) {
	if err == nil {
		return "done", nil
	}
	var e syscall.Errno
	if !errors.As(err, &e) {
		return "", err
	}
	if e == 0 {
		return "done", nil
	}
	return unix.ErrnoName(e), nil
}

// sockets looks for unix sockets in the whole file system, and in the places where
// engines have theirs.
func sockets(target) (string, error) {
	var found []string
	err := filepath.WalkDir("/", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "/proc" || path == "/sys" || path == "/workspace" {
			return fs.SkipDir
		}
		if d.Type()&fs.ModeSocket != 0 {
			found = append(found, path)
		}
		return nil
	})
	for _, path := range []string{"/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock"} {
		if _, err := os.Lstat(path); err == nil {
			found = append(found, path)
		}
	}
	return strings.Join(found, " "), err
}

// processes counts those of other users than root's init and ours.
func processes(target) (string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return "", err
	}
	others := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == 1 {
			continue
		}
		var st unix.Stat_t
		if unix.Stat("/proc/"+e.Name(), &st) == nil && int(st.Uid) != os.Getuid() {
			others++
		}
	}
	return fmt.Sprintf("%d", others), nil
}

// setUID runs set-user-ID programs and tells what comes of it.
func setUID(target) (string, error) {
	out, err := exec.Command("sh", "-c", "grep NoNewPrivs /proc/self/status; su -c 'echo root' root </dev/null 2>/dev/null; newgrp root </dev/null 2>/dev/null; id -u").Output()
	return strings.Join(strings.Fields(string(out)), " "), ignoreExit(err)
}

func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

func capabilities(target) (string, error) {
	status, err := os.ReadFile("/proc/self/status")
	var sets []string
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "Cap"); ok {
			_, mask, _ := strings.Cut(value, ":")
			sets = append(sets, strings.TrimLeft(strings.TrimSpace(mask), "0"))
		}
	}
	return strings.TrimSpace(strings.Join(sets, " ")), err
}

// fillDisk writes to the workspace, whose file system the test made small, until it
// is full.
func fillDisk(target) (string, error) {
	const path = "/workspace/full"
	defer func() { _ = os.Remove(path) }()
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 1<<20)
	for range 4096 {
		if _, err := f.Write(block); err != nil {
			return errno(err)
		}
	}
	return "done", nil
}

// fillProcesses starts processes until there can be no more.
func fillProcesses(target) (string, error) {
	var children []*exec.Cmd
	defer func() {
		for _, c := range children {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}()
	for range 20_000 {
		c := exec.Command("sleep", "1000")
		if err := c.Start(); err != nil {
			return errno(err)
		}
		children = append(children, c)
	}
	return "done", nil
}
