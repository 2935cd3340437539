package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"
)

const image = "example:1"

// save writes an image as docker save does, and returns the file.
func save(t *testing.T, img v1.Image) string {
	t.Helper()
	tag, err := name.NewTag(image)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "saved.tar")
	require.NoError(t, tarball.WriteToFile(file, tag, img))
	return file
}

func randomImage(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(1000, 2)
	require.NoError(t, err)
	return img
}

// TestArchive checks that the archive holds the image, with its empty steps, in the
// media types of OCI.
func TestArchive(t *testing.T) {
	base := randomImage(t)
	layers, err := base.Layers()
	require.NoError(t, err)
	base, err = mutate.Append(base, mutate.Addendum{History: v1.History{CreatedBy: "ENV", EmptyLayer: true}}, mutate.Addendum{Layer: layers[0]})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "image.oci.tar")
	digest, err := archive(save(t, base), image, file)
	require.NoError(t, err)

	dir := t.TempDir()
	require.NoError(t, exec.Command("tar", "-xf", file, "-C", dir).Run())
	path, err := layout.FromPath(dir)
	require.NoError(t, err)
	got, err := path.Image(digest)
	require.NoError(t, err)
	require.NoError(t, validate.Image(got))
	want, err := base.ConfigFile()
	require.NoError(t, err)
	config, err := got.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, want.RootFS, config.RootFS)
	require.Equal(t, want.History, config.History)
	manifest, err := got.Manifest()
	require.NoError(t, err)
	require.Equal(t, []types.MediaType{types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer},
		[]types.MediaType{manifest.MediaType, manifest.Config.MediaType, manifest.Layers[0].MediaType})
}

// TestArchiveFails checks that a failure leaves nothing.
func TestArchiveFails(t *testing.T) {
	odd, err := mutate.ConfigFile(randomImage(t), &v1.ConfigFile{History: []v1.History{{CreatedBy: "one of two"}}})
	require.NoError(t, err)
	for name, tt := range map[string]struct{ saved, image string }{
		"no such file":           {"/no/such/file", image},
		"no such image":          {save(t, randomImage(t)), "another:1"},
		"no name":                {save(t, randomImage(t)), ":"},
		"a history without them": {save(t, odd), image},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := archive(tt.saved, tt.image, filepath.Join(dir, "image.oci.tar"))
			require.Error(t, err)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}
