package main

import (
	"runtime"
	"testing"
)

func TestGreetingNamesVersionAndHost(t *testing.T) {
	want := "Hello from Go (" + runtime.Version() + "): running on somewhere"
	if got := greeting("somewhere"); got != want {
		t.Errorf("greeting(somewhere) = %q, want %q", got, want)
	}
}
