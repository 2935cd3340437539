package mountid_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aifo-coder/aifo-coder/internal/mountid"
)

func TestEncode(t *testing.T) {
	for name, mounts := range map[string][]mountid.Mount{
		"none": nil,
		"odd names": {
			{Target: "/workspace", File: mountid.File{Dev: 1, Ino: 2}},
			{Target: "/a b:c,ü/\"=", File: mountid.File{Dev: 1<<64 - 1, Ino: 1<<64 - 1}},
		},
	} {
		got, err := mountid.Decode(mountid.Encode(mounts))
		require.NoError(t, err, name)
		assert.Equal(t, mounts, got, name)
	}
	for _, text := range []string{"x", "1:2", "a:1:/x", "1:b:/x", "-1:1:/x", "1:2:/a\n\n"} {
		_, err := mountid.Decode(text)
		assert.Error(t, err, text)
	}
}
