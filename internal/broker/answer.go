package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
)

func tlsConfig(roots *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// writer is a response that remembers its status. No header leaves with a secret, those of
// informational responses included.
type writer struct {
	http.ResponseWriter
	secrets secrets
	plain   bool // errors are text
	status  int
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	for name, values := range w.Header() {
		if slices.ContainsFunc(values, w.secrets.in) {
			w.Header().Del(name)
		}
	}
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// fail answers in the form that the providers' libraries show to people: that of OpenAI,
// with what that of Anthropic has beyond it. Git shows plain text.
func fail(w *writer, status int, format string, args ...any) {
	kind := "invalid_request_error"
	if status >= http.StatusInternalServerError {
		kind = "api_error"
	}
	message := "aifo-coder broker: " + fmt.Sprintf(format, args...)
	w.Header().Set("Content-Type", "application/json")
	body, _ := json.Marshal(map[string]any{ // strings always can be
		"type":  "error",
		"error": map[string]string{"message": message, "type": kind},
	})
	if w.plain {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		body = []byte(message + "\n")
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// reason says why there is no response. The error itself may hold what was sent.
func reason(err error) string {
	var (
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
		op   *net.OpError
	)
	switch {
	case errors.Is(err, errEncoded):
		return "answered with a compressed response, which is not passed on"
	case errors.As(err, &dns):
		return "cannot be found: its name does not resolve"
	case errors.As(err, &cert):
		return "cannot be trusted: its certificate is not valid"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "did not answer in time"
	case errors.As(err, &op) && op.Op == "dial":
		return "cannot be reached"
	}
	return "ended the connection without a response"
}
