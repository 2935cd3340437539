package session

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/aifo-coder/aifo-coder/internal/broker"
	"github.com/aifo-coder/aifo-coder/internal/egress"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// openWaysOut begins to answer the containers that have no network of their own.
func (s *Session) openWaysOut(context.Context) error {
	if len(s.Plan.WaysOut) == 0 {
		return nil
	}
	log, err := egress.OpenLog(egress.Logs(s.Facts.NetworkLogDir), s.Plan.ID)
	if err != nil {
		return err
	}
	s.onCleanup(func(context.Context) error {
		if err := log.Close(); err != nil {
			s.Log.Warn("the network log is not complete", "err", err) // the agent's work is done all the same
		}
		return nil
	})
	local, err := s.openBroker(log)
	if err != nil {
		return err
	}
	for _, w := range s.Plan.WaysOut {
		handler := local
		if !w.Broker {
			handler = nil
		}
		if err := s.openWayOut(w, log, handler); err != nil {
			return err
		}
	}
	return nil
}

// openBroker makes the credential broker, if there is to be one, and the placeholders that
// the agent gets.
func (s *Session) openBroker(log *egress.Log) (http.Handler, error) {
	if s.Plan.Broker == nil {
		return nil, nil
	}
	config := s.Broker
	config.Proxy = hostProxy(s.Facts.Env)
	config.Record = func(e broker.Entry) { log.Record(brokered(e)) }
	b, err := broker.New(config)
	if err != nil {
		return nil, fmt.Errorf("start the credential broker: %w", err)
	}
	s.placeholders = map[string]string{}
	made := b.Placeholders()
	for variable, provider := range s.Plan.Broker.Placeholders {
		s.placeholders[variable] = made[provider]
	}
	return b, nil
}

// brokered is a request to the broker as one of the network log.
func brokered(e broker.Entry) egress.Entry {
	entry := egress.Entry{Time: time.Now(), Container: plan.KindAgent, Method: e.Method, Status: e.Status}
	if e.Host == "" {
		entry.Host, entry.Code, entry.Reason = "credential broker", egress.CodeRequest, fmt.Sprintf("refused with status %d", e.Status)
		return entry
	}
	host, port, _ := net.SplitHostPort(e.Host) // of an address that was checked
	entry.Host, entry.Allowed, entry.Rule = host, true, "the credential broker"
	entry.Port, _ = strconv.Atoi(port)
	return entry
}

func (s *Session) openWayOut(w plan.WayOut, log *egress.Log, local http.Handler) error {
	listener, err := s.listenForWayOut(w)
	if err != nil {
		return fmt.Errorf("make the way out of the %s container: %w", w.Container, err)
	}
	server := egress.New(egress.Config{
		Policy: w.Policy, Container: w.Container, Record: log.Record, Proxy: hostProxy(s.Facts.Env), Local: local,
	})
	go func() {
		if err := server.Serve(listener); err != nil {
			s.Log.Debug("a way out ended", "container", w.Container, "err", err)
		}
	}()
	s.onCleanup(server.Shutdown)
	return nil
}

func (s *Session) listenForWayOut(w plan.WayOut) (net.Listener, error) {
	if w.Tunnel {
		return s.tunnels[w.Container].Listener(execproto.EgressSocketName), nil
	}
	return egress.ListenUnix(w.Dir, w.UID)
}

// hostProxy returns what tells the host's own HTTP proxy for an address. The session's
// environment counts, which a pane of fork mode has from the process that started it.
func hostProxy(env hostfacts.Env) func(*url.URL) (*url.URL, error) {
	get := func(upper, lower string) string {
		if v := env.Get(upper); v != "" {
			return v
		}
		return env.Get(lower)
	}
	config := httpproxy.Config{
		HTTPProxy: get("HTTP_PROXY", "http_proxy"), HTTPSProxy: get("HTTPS_PROXY", "https_proxy"), NoProxy: get("NO_PROXY", "no_proxy"),
	}
	return config.ProxyFunc()
}
