package sessions_test

import (
	"os"
	"testing"

	"github.com/aifo-coder/aifo-coder/internal/fakedocker"
)

func TestMain(m *testing.M) { os.Exit(fakedocker.Main(m)) }
