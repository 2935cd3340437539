package config

// Property is what a schema says of a key beyond its row in the table.
type Property struct {
	Description string
	Words       []string // the values that there are; nil: others are possible
}

// schemaDialect is the version of JSON Schema that editors know best.
const schemaDialect = "http://json-schema.org/draft-07/schema#"

// object is a JSON object.
type object = map[string]any

// Schema returns a JSON schema of the user's file or of ProjectFile, for editors: a value for
// encoding/json. It comes from the table of keys, so that every key is in it; describe adds what the
// table does not have. A schema takes no account of what values mean: config validate does.
func Schema(from Origin, describe func(key string) Property) any {
	title := "aifo-coder: " + ProjectFile
	settings := properties(from, describe)
	if from == User {
		title = "aifo-coder: config.yaml"
		inProfile := properties(from, describe)
		delete(inProfile, profileKey)
		settings[profilesKey] = object{
			"description": "settings by the name of a profile, which --profile chooses", "type": "object",
			"propertyNames": object{"pattern": profileRE.String(), "not": object{"const": NoProfile}},
			"additionalProperties": object{
				"type": "object", "minProperties": 1, "properties": inProfile, "additionalProperties": false,
			},
		}
	}
	return object{
		"$schema": schemaDialect, "title": title,
		"type": []string{"object", "null"}, "properties": settings, "additionalProperties": false,
	}
}

// properties returns the schema of each key that the file can have.
func properties(from Origin, describe func(key string) Property) object {
	list := object{envKey: object{
		"description": "variables for the agent", "type": "object",
		"propertyNames":        object{"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": maxName},
		"additionalProperties": scalar(Property{}),
	}}
	for _, k := range keys {
		if k.Own && from != User {
			continue
		}
		p := describe(k.Name)
		schema := k.schema(p)
		if p.Description != "" {
			schema["description"] = p.Description
		}
		list[k.Name] = schema
	}
	return list
}

func (k Key) schema(p Property) object {
	switch {
	case k.Bool:
		return object{"type": "boolean"}
	case k.List:
		return object{"anyOf": []object{scalar(p), {"type": "array", "items": scalar(p), "minItems": 1, "maxItems": maxValues}}}
	}
	return scalar(p)
}

// scalar is the schema of one value: YAML has numbers of its own, which are text here.
func scalar(p Property) object {
	if p.Words != nil {
		return object{"enum": p.Words}
	}
	return object{"type": []string{"string", "number", "boolean"}, "minLength": 1, "maxLength": maxValue}
}
