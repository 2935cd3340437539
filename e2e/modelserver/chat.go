package modelserver

import "encoding/json"

// chat is a request of the chat completions API.
type chat struct {
	Stream   bool `json:"stream"`
	Messages []struct {
		Role       string          `json:"role"`
		ToolCallID string          `json:"tool_call_id"`
		Content    json.RawMessage `json:"content"`
	} `json:"messages"`
	Tools []struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	} `json:"tools"`
}

func (c *chat) streams() bool { return c.Stream }

func (c *chat) tools() []string {
	var names []string
	for _, t := range c.Tools {
		names = append(names, t.Function.Name)
	}
	return names
}

func (c *chat) turns() int {
	n := 0
	for _, m := range c.Messages {
		if m.Role == "assistant" {
			n++
		}
	}
	return n
}

func (c *chat) results() map[int]string {
	results := map[int]string{}
	for _, m := range c.Messages {
		if m.Role == "tool" {
			results[turnOf(m.ToolCallID)] = text(m.Content)
		}
	}
	return results
}

func (c *chat) whole(r reply) object {
	return completion("chat.completion", object{"index": 0, "message": message(r), "finish_reason": finish(r)})
}

func (c *chat) events(r reply) []event {
	return []event{
		{data: completion("chat.completion.chunk", object{"index": 0, "delta": message(r), "finish_reason": nil})},
		{data: completion("chat.completion.chunk", object{"index": 0, "delta": object{}, "finish_reason": finish(r)})},
		{text: "[DONE]"},
	}
}

func completion(kind string, choice object) object {
	return object{
		"id": "chatcmpl-1", "object": kind, "created": 1, "model": Model, "choices": []object{choice},
		"usage": object{"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
	}
}

func message(r reply) object {
	m := object{"role": "assistant", "content": r.say}
	if r.tool != "" {
		m["tool_calls"] = []object{{
			"index": 0, "id": callID(r.turn), "type": "function",
			"function": object{"name": r.tool, "arguments": r.arguments},
		}}
	}
	return m
}

func finish(r reply) string {
	if r.tool != "" {
		return "tool_calls"
	}
	return "stop"
}

// text returns the text of content, which is a string or a list of parts.
func text(content json.RawMessage) string {
	var s string
	if json.Unmarshal(content, &s) == nil {
		return s
	}
	var parts []struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(content, &parts)
	for _, p := range parts {
		s += p.Text
	}
	return s
}
