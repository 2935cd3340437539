package doctor

import (
	"errors"
	"io/fs"
	"os"
)

func room(string) (bytes, inodes uint64, counted bool, err error) {
	return 0, 0, false, errors.ErrUnsupported
}

func writable(path string) bool {
	_, err := os.ReadDir(path)
	return err == nil
}

func ours(fs.FileInfo) bool { return true }

func groupOf(fs.FileInfo) (gid int, ok bool) { return 0, false }
