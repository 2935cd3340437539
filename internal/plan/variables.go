package plan

// VersionVariables returns the variables that have the version of a toolchain
// kind, in the order in which they count.
func VersionVariables(kind string) []string {
	return kindVariables("AIFO_", kind, "_TOOLCHAIN_VERSION")
}

// ImageVariables returns the variables that have the image of a toolchain kind, in
// the order in which they count.
func ImageVariables(kind string) []string {
	return kindVariables("AIFO_", kind, "_TOOLCHAIN_IMAGE")
}
