// Package e2e holds tests only: they run the real program against a real engine,
// with real tools in the images that images/ builds. CI requires the engine;
// elsewhere the tests skip without one, and say what to run.
package e2e
