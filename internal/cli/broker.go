package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/url"

	"github.com/spf13/pflag"

	"github.com/aifo-coder/aifo-coder/internal/broker"
	"github.com/aifo-coder/aifo-coder/internal/execproto"
	"github.com/aifo-coder/aifo-coder/internal/hostfacts"
	"github.com/aifo-coder/aifo-coder/internal/keys"
	"github.com/aifo-coder/aifo-coder/internal/netpolicy"
	"github.com/aifo-coder/aifo-coder/internal/plan"
	"github.com/aifo-coder/aifo-coder/internal/provider"
)

// brokerFlags are the flags about keys (docs/credentials.md).
type brokerFlags struct {
	credentials string
	git         []string
}

// How the agent uses the user's keys.
const (
	credentialsPass   = "pass"
	credentialsBroker = "broker"
)

// The variables that stand for the flags.
const (
	credentialsVariable = "AIFO_CODER_CREDENTIALS" //nolint:gosec // the name of a variable
	brokerGitVariable   = "AIFO_CODER_BROKER_GIT"
)

func (f *brokerFlags) register(fs *pflag.FlagSet) {
	fs.StringVar(&f.credentials, "credentials", "", "how the agent uses your API keys: `pass|broker`; with broker it never has them (default pass)")
	fs.StringArrayVar(&f.git, "broker-git", nil, "let git in the agent's container reach `HOST[/PATH][=push]` with your credentials, which stay on the host; repeatable")
}

// parse returns whether keys are brokered, and what git may reach.
func (f *brokerFlags) parse(env hostfacts.Env) (brokered bool, git []broker.GitGrant, err error) {
	switch v := cmp.Or(f.credentials, env.Get(credentialsVariable)); v {
	case "", credentialsPass:
	case credentialsBroker:
		brokered = true
	default:
		return false, nil, fmt.Errorf("--credentials %q: takes %s or %s", v, credentialsPass, credentialsBroker)
	}
	for _, v := range entries(f.git, env.Get(brokerGitVariable)) {
		grant, err := broker.ParseGit(v)
		if err != nil {
			return false, nil, fmt.Errorf("--broker-git %w", err)
		}
		git = append(git, grant)
	}
	return brokered, git, nil
}

// decide completes the options by what the host has.
func (a *app) decide(ctx context.Context, o *plan.Options, f hostfacts.Facts) error {
	if err := a.chooseAppArmor(o, f); err != nil {
		return err
	}
	if err := a.decideCredentials(ctx, o, f); err != nil {
		return err
	}
	if err := checkEnv(*o); err != nil {
		return err
	}
	if err := a.checkWorkspacePath(*o, f); err != nil {
		return err
	}
	if err := decideMounts(o, f); err != nil {
		return err
	}
	return checkDockerNetwork(*o, f)
}

// decideCredentials decides what the agent gets in place of keys, or else which hosts it
// needs for its own.
func (a *app) decideCredentials(ctx context.Context, o *plan.Options, f hostfacts.Facts) error {
	brokered, git, err := a.flags.broker.parse(a.env)
	if err != nil {
		return &UsageError{Err: err}
	}
	if o.Agent == nil {
		return nil
	}
	if brokered || len(git) > 0 {
		o.Broker = &plan.Brokered{Git: broker.GitConfig(execproto.EgressURL, git)}
	}
	if err := a.decideGit(ctx, f, git); err != nil {
		return err
	}
	if brokered {
		return a.decideBroker(ctx, o, f)
	}
	return a.decideModelHosts(o, f)
}

// decideModelHosts has an allowlist let the agent reach its models with its own keys.
func (a *app) decideModelHosts(o *plan.Options, f hostfacts.Facts) error {
	if o.Egress.Mode(plan.KindAgent) != netpolicy.Allowlist {
		return nil
	}
	own, err := provider.Plan(provider.Request{Credentials: o.Agent.Credentials, Get: f.Env.Get, Base: execproto.EgressURL})
	if err != nil {
		return &UsageError{Err: err}
	}
	rules, without := modelHosts(own.Grants)
	for _, g := range without {
		a.printer.Warn(fmt.Sprintf("the agent does not reach %s, which no allowlist can have; --credentials %s asks it from this machine", g, credentialsBroker))
	}
	o.ModelHosts = rules
	return nil
}

// modelHosts returns what an allowlist has to allow for the grants, and those for which it
// can allow nothing, such as a model on the loopback.
func modelHosts(grants []provider.Grant) (rules []netpolicy.Rule, without []provider.Grant) {
	for _, g := range grants {
		u, err := url.Parse(g.Upstream)
		if err != nil {
			continue // provider.Plan returns none like that
		}
		host := plan.HostRule(u, g.Provider)
		if len(host) == 0 {
			without = append(without, g)
		}
		rules = append(rules, host...)
	}
	return rules, without
}

// decideBroker has the agent use the broker in place of keys.
func (a *app) decideBroker(ctx context.Context, o *plan.Options, f hostfacts.Facts) error {
	if err := o.Agent.CheckBroker(); err != nil {
		return &UsageError{Err: err}
	}
	stored, err := keys.Stored(ctx, keys.Dir(f.ConfigDir), provider.Names())
	if err != nil {
		return err
	}
	r, err := provider.Plan(provider.Request{Credentials: o.Agent.Credentials, Get: f.Env.Get, Stored: stored, Base: execproto.EgressURL})
	if err != nil {
		return &UsageError{Err: err}
	}
	if len(r.Grants) == 0 && len(o.Agent.Credentials) > 0 {
		r.Warnings = append(r.Warnings, "no API key was found on this host for the credential broker; set its variable, or store it: aifo-coder credentials set PROVIDER")
	}
	for _, w := range r.Warnings {
		a.printer.Warn(w)
	}
	o.Broker.Env, o.Broker.Placeholders, a.broker.Grants = r.Env, r.Placeholders, r.Grants
	return nil
}

// decideGit completes what git may reach with the user's own logins, which a dry run has
// no use for.
func (a *app) decideGit(ctx context.Context, f hostfacts.Facts, git []broker.GitGrant) error {
	for i, g := range git {
		if a.flags.dryRun {
			break
		}
		login, err := keys.GitLogin(ctx, f.Env.Get, g.Host(), g.Path())
		if err != nil {
			return err
		}
		git[i].Username, git[i].Password = login.Username, login.Password
	}
	a.broker.Git = git
	return nil
}
