package broker_test

import (
	"context"
	"net/http/httptrace"
	"net/textproto"
)

// withHints has the headers of an informational response sent to a channel.
func withHints(ctx context.Context, to chan<- textproto.MIMEHeader) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(_ int, h textproto.MIMEHeader) error {
		to <- h
		return nil
	}})
}
