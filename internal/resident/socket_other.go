//go:build !linux

package resident

import (
	"context"
	"errors"
)

// dialSocket fails: no other system shares its kernel with containers.
func (*Docker) dialSocket(context.Context, string, string) (Link, error) {
	return nil, errors.ErrUnsupported
}
