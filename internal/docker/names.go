package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// ImageRefs returns the references of the images that are present and have a name, sorted.
func (c Client) ImageRefs(ctx context.Context) ([]string, error) {
	out, err := c.query(ctx, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	refs := strings.Fields(string(out))
	refs = slices.DeleteFunc(refs, func(ref string) bool { return strings.Contains(ref, "<none>") })
	slices.Sort(refs)
	return slices.Compact(refs), nil
}

// NetworkNames returns the names of the networks that are there, sorted.
func (c Client) NetworkNames(ctx context.Context) ([]string, error) {
	out, err := c.query(ctx, "network", "ls", "--format", "{{.Name}}")
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	names := strings.Fields(string(out))
	slices.Sort(names)
	return names, nil
}
