package fork

// Steps is called before each change to what is on disk or runs, with a name for
// the step, so that a test can end the process there or let the step fail. A nil one
// does nothing.
type Steps func(name string) error

// At says that the step comes now, and returns the error with which it shall fail.
func (s Steps) At(name string) error {
	if s == nil {
		return nil
	}
	return s(name)
}
