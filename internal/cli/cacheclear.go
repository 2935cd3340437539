package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aifo-coder/aifo-coder/internal/docker"
	"github.com/aifo-coder/aifo-coder/internal/dockerargs"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/sessions"
)

// cacheClear is one invocation of the command.
type cacheClear struct {
	app    *app
	force  bool
	asJSON bool

	volumes []string // of all kinds
}

// cacheRow is one volume.
type cacheRow struct {
	Volume  string   `json:"volume"`
	Size    string   `json:"size"`    // as docker says it, "412.3MB"; empty: not known
	UsedBy  []string `json:"used_by"` // ids of sessions
	Removed bool     `json:"removed"`

	users []docker.VolumeUser
}

func (a *app) cacheClearCmd() *cobra.Command {
	c := cacheClear{app: a}
	cmd := &cobra.Command{
		Use:   "toolchain-cache-clear",
		Short: "Remove the cache volumes of all toolchains",
		Long: `Remove the cache volumes of all toolchains, for all users of the machine, and print the name and the size of each
that was removed. While a session uses one, none is removed and the exit code is 1; --force removes the sidecars
that use them as well.`,
		GroupID: groupToolchains,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	cmd.Flags().BoolVar(&c.force, "force", false, "remove the sidecars that use the volumes, too")
	cmd.Flags().BoolVar(&c.asJSON, "json", false, "print a JSON array")
	return cmd
}

func (c cacheClear) run(ctx context.Context) error {
	kinds, err := c.app.flags.kinds(c.app.env)
	if err != nil {
		return &UsageError{Err: err}
	}
	c.volumes = kinds.Volumes()
	var f hostfacts.Facts
	err = c.app.readEngine(ctx, &f, nil)
	engine := c.app.docker()
	if err != nil {
		if c.app.flags.dryRun {
			return c.previewAll()
		}
		return err
	}
	if !c.app.flags.dryRun {
		// What a killed session left uses nothing; failing to remove it shows below.
		_ = sessions.Sweep(ctx, engine, hostfacts.Self())
	}
	rows, err := c.rows(ctx, engine)
	if err != nil {
		return err
	}
	err = c.refuse(rows)
	if err == nil && !c.app.flags.dryRun {
		err = c.remove(ctx, engine, rows)
	}
	if err == nil && c.app.flags.dryRun && !c.asJSON {
		return c.preview(rows)
	}
	return errors.Join(c.print(rows), err)
}

// previewAll prints what a run would do if every volume were there.
func (c cacheClear) previewAll() error {
	c.app.printer.Warn("no engine answers; volumes are shown as if all were present")
	var rows []cacheRow
	for _, name := range c.volumes {
		rows = append(rows, cacheRow{Volume: name, UsedBy: []string{}})
	}
	if c.asJSON {
		return c.print(rows)
	}
	return c.preview(rows)
}

// rows returns the cache volumes that exist.
func (c cacheClear) rows(ctx context.Context, engine docker.Client) ([]cacheRow, error) {
	volumes, err := engine.Volumes(ctx, c.volumes)
	if err != nil || len(volumes) == 0 {
		return nil, err
	}
	users, err := engine.VolumeUsers(ctx, volumes)
	if err != nil {
		return nil, err
	}
	sizes, err := engine.VolumeSizes(ctx)
	if err != nil {
		c.app.printer.Warn(err.Error()) // the volumes can go all the same
	}
	rows := make([]cacheRow, len(volumes))
	for i, name := range volumes {
		rows[i] = cacheRow{Volume: name, Size: sizes[name], UsedBy: []string{}}
		for _, u := range users {
			if slices.Contains(u.Volumes, name) {
				rows[i].users = append(rows[i].users, u)
				rows[i].UsedBy = append(rows[i].UsedBy, userName(u))
			}
		}
	}
	return rows, nil
}

// userName is the session of a container, or the id of one that is none of ours.
func userName(u docker.VolumeUser) string {
	if id := u.Labels[plan.LabelSession]; id != "" {
		return id
	}
	const short = 12
	return u.ID[:min(short, len(u.ID))]
}

// CacheInUseError says that sessions use caches that were to be removed.
type CacheInUseError struct {
	Program string   // the engine's command line
	Users   []string // sessions, or containers that are none of ours
	Forced  bool
}

func (e *CacheInUseError) Error() string {
	if e.Forced {
		return "the caches are used by containers that are none of aifo-coder's: " + strings.Join(e.Users, ", ") + "; nothing was removed"
	}
	return "the caches are used by " + strings.Join(e.Users, ", ") + "; nothing was removed"
}

// Hint says what to do about them.
func (e *CacheInUseError) Hint() string {
	if e.Forced {
		return "remove those containers: " + e.Program + " rm --force " + strings.Join(e.Users, " ")
	}
	return "end those sessions, or remove their sidecars as well with --force"
}

// refuse returns a *CacheInUseError while somebody uses a volume. Containers
// that are none of ours are not ours to remove.
func (c cacheClear) refuse(rows []cacheRow) error {
	var users []string
	for _, u := range allUsers(rows) {
		if !c.force || u.Labels[plan.LabelSession] == "" {
			users = append(users, userName(u))
		}
	}
	if len(users) == 0 {
		return nil
	}
	slices.Sort(users)
	return &CacheInUseError{Program: c.app.docker().Name(), Users: slices.Compact(users), Forced: c.force}
}

// allUsers returns each container once.
func allUsers(rows []cacheRow) []docker.VolumeUser {
	var users []docker.VolumeUser
	seen := map[string]bool{}
	for _, r := range rows {
		for _, u := range r.users {
			if !seen[u.ID] {
				seen[u.ID] = true
				users = append(users, u)
			}
		}
	}
	return users
}

// removal is the vectors that remove volumes, after the containers that use them.
type removal struct {
	containers []string   // nil: there are none
	volumes    [][]string // one for each row
}

// commands returns the vectors in the order of a run.
func (r removal) commands() [][]string {
	if r.containers == nil {
		return r.volumes
	}
	return append([][]string{r.containers}, r.volumes...)
}

func removalOf(rows []cacheRow) removal {
	var r removal
	var ids []string
	for _, u := range allUsers(rows) {
		ids = append(ids, u.ID)
	}
	if len(ids) > 0 {
		r.containers = dockerargs.Remove(ids...)
	}
	for _, row := range rows {
		r.volumes = append(r.volumes, dockerargs.VolumeRemove(row.Volume))
	}
	return r
}

func (c cacheClear) preview(rows []cacheRow) error {
	for _, argv := range removalOf(rows).commands() {
		if _, err := fmt.Fprintln(c.app.streams.Out, dockerargs.Quote(append([]string{c.app.engine}, argv...))); err != nil {
			return err
		}
	}
	return nil
}

// remove carries the commands out. A volume that cannot be removed does not
// keep the others from going.
func (c cacheClear) remove(ctx context.Context, engine docker.Client, rows []cacheRow) error {
	r := removalOf(rows)
	if r.containers != nil {
		if err := engine.Do(ctx, r.containers); err != nil {
			return fmt.Errorf("remove the sidecars: %w", err)
		}
	}
	var errs []error
	for i, argv := range r.volumes {
		if err := engine.Do(ctx, argv); err != nil {
			errs = append(errs, fmt.Errorf("remove volume %s: %w", rows[i].Volume, err))
			continue
		}
		rows[i].Removed = true
	}
	return errors.Join(errs...)
}

// print prints the volumes that were removed, or all of them as JSON.
func (c cacheClear) print(rows []cacheRow) error {
	if c.asJSON {
		return writeJSON(c.app.streams.Out, rows)
	}
	t := newTable(c.app.streams.Out)
	for _, r := range rows {
		if r.Removed {
			t.row(r.Volume, cmp.Or(r.Size, "unknown"))
		}
	}
	return t.flush()
}

// writeJSON writes rows as an array for scripts, one that is empty for none.
func writeJSON[T any](w io.Writer, rows []T) error {
	if rows == nil {
		rows = []T{}
	}
	return encodeJSON(w, rows)
}

// encodeJSON writes v for scripts.
func encodeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
