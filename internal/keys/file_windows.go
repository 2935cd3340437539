package keys

import "io/fs"

// ours and private report true: a user's profile is private already.
func ours(fs.FileInfo) bool { return true }

func private(fs.FileInfo) bool { return true }
