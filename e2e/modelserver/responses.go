package modelserver

import "encoding/json"

// responses is a request of the responses API.
type responses struct {
	Stream bool `json:"stream"`
	Input  []struct {
		Type   string          `json:"type"`
		Role   string          `json:"role"`
		CallID string          `json:"call_id"`
		Output json.RawMessage `json:"output"`
	} `json:"input"`
	Tools []struct {
		Type string `json:"type"`
		Name string `json:"name"`
	} `json:"tools"`
}

func (c *responses) streams() bool { return c.Stream }

func (c *responses) tools() []string {
	var names []string
	for _, t := range c.Tools {
		names = append(names, t.Name)
	}
	return names
}

func (c *responses) turns() int {
	n := 0
	for _, item := range c.Input {
		if item.Type == "function_call" || item.Role == "assistant" {
			n++
		}
	}
	return n
}

func (c *responses) results() map[int]string {
	results := map[int]string{}
	for _, item := range c.Input {
		if item.Type == "function_call_output" {
			results[turnOf(item.CallID)] = text(item.Output)
		}
	}
	return results
}

func (c *responses) whole(r reply) object {
	return object{
		"id": "resp_1", "object": "response", "created_at": 1, "model": Model, "status": "completed",
		"output": []object{item(r)},
		"usage": object{
			"input_tokens": 1, "input_tokens_details": object{"cached_tokens": 0},
			"output_tokens": 1, "output_tokens_details": object{"reasoning_tokens": 0}, "total_tokens": 2,
		},
	}
}

func (c *responses) events(r reply) []event {
	stream := []event{
		{data: object{"type": "response.created", "response": object{"id": "resp_1"}}},
		{data: object{"type": "response.output_item.done", "output_index": 0, "item": item(r)}},
		{data: object{"type": "response.completed", "response": c.whole(r)}},
	}
	for i := range stream {
		stream[i].name = stream[i].data["type"].(string)
	}
	return stream
}

func item(r reply) object {
	if r.tool != "" {
		return object{
			"type": "function_call", "id": "fc_1", "call_id": callID(r.turn), "status": "completed",
			"name": r.tool, "arguments": r.arguments,
		}
	}
	return object{
		"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
		"content": []object{{"type": "output_text", "text": r.say, "annotations": []object{}}},
	}
}
