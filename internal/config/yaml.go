package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/aifo-coder/aifo-coder/internal/plan"
)

// envKey is the key of the variables for the agent.
const envKey = "env"

// Bounds of what a file may hold; more is a mistake.
const (
	maxValues = 64
	maxValue  = 4096 // bytes
	maxName   = 128  // bytes of a variable's
)

// Parse reads a YAML file of settings: a mapping of keys to values. name is the file's name,
// for messages; from is User or Project. The settings of all profiles are among the result, to
// be taken apart by OfProfile. Anything that would mean nothing is an *Error, with an
// *UnknownKeyError in it where a key is not known.
func Parse(name string, data []byte, from Origin) ([]Setting, error) {
	p := parser{file: name, from: from}
	root, err := p.document(data)
	if err != nil || root == nil {
		return nil, err
	}
	if err := p.mapping(root, p.key); err != nil {
		return nil, err
	}
	return p.settings, nil
}

type parser struct {
	file     string
	from     Origin
	profile  string // in which the parser is
	settings []Setting
}

func (p *parser) fail(line int, format string, args ...any) error {
	return &Error{File: p.file, Line: line, Err: fmt.Errorf(format, args...)}
}

// document returns the node of the only document of the file, or nil for an empty one. The tree is
// never decoded into values, so no alias in it is ever followed.
func (p *parser) document(data []byte) (*yaml.Node, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, p.syntax(err)
	}
	if err := d.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, p.fail(0, "it holds more than one document")
	}
	if root := doc.Content[0]; root.Kind != yaml.ScalarNode || root.Tag != "!!null" {
		return root, nil
	}
	return nil, nil
}

var syntaxLine = regexp.MustCompile(`^yaml: line (\d+): `)

// syntax returns an error of the YAML library in our form.
func (p *parser) syntax(err error) error {
	text, line := err.Error(), 0
	if m := syntaxLine.FindStringSubmatch(text); m != nil {
		_, _ = fmt.Sscan(m[1], &line) // they are digits
		text = strings.TrimPrefix(text, m[0])
	}
	return p.fail(line, "%s", printable(strings.TrimPrefix(text, "yaml: ")))
}

// mapping gives each pair of a mapping to visit.
func (p *parser) mapping(node *yaml.Node, visit func(key, value *yaml.Node) error) error {
	if node.Kind != yaml.MappingNode {
		return p.fail(node.Line, "it takes a mapping: a setting and its value on each line, as in \"memory: 4g\"")
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if err := p.plain(key); err != nil {
			return err
		}
		if line, twice := seen[key.Value]; twice {
			return p.fail(key.Line, "%q is there twice; the first is in line %d", key.Value, line)
		}
		seen[key.Value] = key.Line
		if err := visit(key, value); err != nil {
			return err
		}
	}
	return nil
}

// plain refuses what is no plain scalar.
func (p *parser) plain(node *yaml.Node) error {
	switch {
	case node.Kind == yaml.AliasNode, node.Anchor != "":
		return p.fail(node.Line, "anchors and aliases are not taken")
	case node.Kind != yaml.ScalarNode:
		return p.fail(node.Line, "it takes a single value")
	case node.Style&yaml.TaggedStyle != 0:
		return p.fail(node.Line, "tags are not taken")
	}
	return nil
}

// key takes one setting of the top level.
func (p *parser) key(key, value *yaml.Node) error {
	switch key.Value {
	case envKey:
		return p.mapping(value, p.variable)
	case profilesKey:
		return p.profiles(key, value)
	}
	k, ok := Lookup(key.Value)
	switch {
	case ok && k.Name == profileKey && p.profile != "":
		return p.fail(key.Line, "a profile cannot name another: %s stands outside of %s", profileKey, profilesKey)
	case !ok:
		return &Error{File: p.file, Line: key.Line, Err: &UnknownKeyError{Key: key.Value}}
	case k.Own && p.from != User:
		return p.fail(key.Line, "%s is for your own configuration file, and no repository's", k.Name)
	}
	values, err := p.values(k, value)
	if err != nil {
		return err
	}
	p.settings = append(p.settings, Setting{
		Name: k.Name, Key: k.Name, Values: values, Origin: p.from, File: p.file, Line: key.Line, Profile: p.profile, Gives: k.Gives,
		Approval: p.from != User && !k.allFree(values),
	})
	return nil
}

// allFree reports whether a repository may set the values without the user's word.
func (k Key) allFree(values []string) bool {
	if k.free == nil {
		return false
	}
	for _, v := range values {
		if !k.free(v) {
			return false
		}
	}
	return true
}

// values returns the value of a key, or its list.
func (p *parser) values(k Key, node *yaml.Node) ([]string, error) {
	nodes := []*yaml.Node{node}
	if k.List && node.Kind == yaml.SequenceNode && node.Anchor == "" {
		nodes = node.Content
	}
	if len(nodes) == 0 || len(nodes) > maxValues {
		return nil, p.fail(node.Line, "%s takes from 1 to %d values", k.Name, maxValues)
	}
	var values []string
	for _, n := range nodes {
		if k.List && nested(n) {
			return nil, p.fail(n.Line, "%s takes a list of values, as in %[1]s: [VALUE, VALUE]", k.Name)
		}
		v, err := p.value(k.Name, n)
		if err != nil {
			return nil, err
		}
		if k.Bool && n.Tag != "!!bool" {
			return nil, p.fail(n.Line, "%s takes true or false", k.Name)
		}
		values = append(values, v)
	}
	return values, nil
}

// nested reports whether the node holds others.
func nested(node *yaml.Node) bool {
	return node.Anchor == "" && (node.Kind == yaml.MappingNode || node.Kind == yaml.SequenceNode)
}

// value returns the text of one value.
func (p *parser) value(name string, node *yaml.Node) (string, error) {
	if nested(node) {
		return "", p.fail(node.Line, "%s takes a single value", name)
	}
	if err := p.plain(node); err != nil {
		return "", err
	}
	switch {
	case node.Value == "", node.Tag == "!!null":
		return "", p.fail(node.Line, "%s has an empty value; leave it out instead", name)
	case len(node.Value) > maxValue:
		return "", p.fail(node.Line, "%s is longer than %d bytes", name, maxValue)
	case strings.ContainsFunc(node.Value, unicode.IsControl):
		return "", p.fail(node.Line, "%s holds a control character", name)
	}
	return node.Value, nil
}

// variable takes one variable for the agent.
func (p *parser) variable(key, value *yaml.Node) error {
	name := key.Value
	switch {
	case len(name) > maxName:
		return p.fail(key.Line, "env: the name of a variable is longer than %d bytes: %.32q…", maxName, name)
	case !plan.Passable(name):
		return p.fail(key.Line, "env: the variable %q cannot be set for an agent", name)
	case p.from != User && strings.HasPrefix(name, "GIT_"):
		return p.fail(key.Line, "env: no repository may set the variable %q", name)
	}
	v, err := p.value(name, value)
	if err != nil {
		return err
	}
	p.settings = append(p.settings, Setting{
		Name: envKey + "." + name, Variable: plan.EnvPrefix + name, Values: []string{v}, Origin: p.from, File: p.file, Line: key.Line, Profile: p.profile,
		Gives: variableGives(name), Approval: p.from != User && !isModel(name, v),
	})
	return nil
}
