// Command ociarchive turns what docker save wrote into an OCI archive.
//
// Usage: ociarchive SAVED IMAGE ARCHIVE
//
// SAVED is the file of docker save, IMAGE the image's name in it, ARCHIVE the file to
// write. It prints the digest of the image's manifest.
package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: ociarchive SAVED IMAGE ARCHIVE")
		os.Exit(2)
	}
	digest, err := archive(os.Args[1], os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintf(os.Stderr, "ociarchive: write %s: %v\n", os.Args[3], err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

// archive writes the image of a saved file to an OCI archive and returns the digest of
// its manifest. The archive is there when it is complete, or not at all.
func archive(saved, image, file string) (v1.Hash, error) {
	tag, err := name.NewTag(image)
	if err != nil {
		return v1.Hash{}, err
	}
	docker, err := tarball.ImageFromPath(saved, &tag)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("read %s: %w", saved, err)
	}
	oci, err := convert(docker)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("convert %s: %w", image, err)
	}
	if err := write(oci, tag.TagStr(), file); err != nil {
		return v1.Hash{}, err
	}
	return oci.Digest()
}

// convert returns the image with the media types of OCI, which docker save does not use,
// and compressed layers.
func convert(image v1.Image) (v1.Image, error) {
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, err
	}
	additions, err := additions(layers, config.History)
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.History, config.RootFS.DiffIDs = nil, nil
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if base, err = mutate.ConfigFile(base, config); err != nil {
		return nil, err
	}
	return mutate.Append(base, additions...)
}

// additions pairs the layers with the steps of the history that made them. Steps that
// made none stay in their places.
func additions(layers []v1.Layer, history []v1.History) ([]mutate.Addendum, error) {
	var list []mutate.Addendum
	for _, step := range history {
		if step.EmptyLayer {
			list = append(list, mutate.Addendum{History: step})
			continue
		}
		if len(layers) == 0 {
			return nil, errors.New("the history names more layers than there are")
		}
		layer, err := tarball.LayerFromOpener(layers[0].Uncompressed, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, err
		}
		list, layers = append(list, mutate.Addendum{Layer: layer, History: step}), layers[1:]
	}
	if len(layers) != 0 {
		return nil, errors.New("there are more layers than the history names")
	}
	return list, nil
}

// write writes the image as a layout, and the layout as a tar archive.
func write(image v1.Image, tag, file string) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(file), ".oci")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	annotations := map[string]string{"org.opencontainers.image.ref.name": tag}
	if err := path.AppendImage(image, layout.WithAnnotations(annotations)); err != nil {
		return err
	}
	partial := file + ".new"
	if err := pack(dir, partial); err != nil {
		return errors.Join(err, os.Remove(partial))
	}
	return os.Rename(partial, file)
}

func pack(dir, file string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	return w.Close()
}
