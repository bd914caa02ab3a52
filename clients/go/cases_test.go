package wanneng_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime/multipart"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"wanneng"
)

const (
	tolerance = 1e-6
	patience  = time.Minute
)

type object = map[string]any

// suite is clients/cases.json, with the gateway's address, its keys and what the Python client was answered.
type suite struct {
	URL       string
	Keys      map[string]string
	Variables object
	Cases     []struct {
		Name  string
		Steps []step
	}
}

type step struct {
	Call, Key                                      string
	Path, Query, Header, Body, Form, Expect, Until object
	Headers, Save                                  map[string]string
	Refused                                        *refusal
}

type refusal struct {
	Status     int
	Code       string
	Field      *string
	RequestID  *string `json:"request_id"`
	RetryAfter *bool   `json:"retry_after"`
}

func TestCases(t *testing.T) {
	path := os.Getenv("WANNENG_CASES")
	if path == "" {
		t.Fatal("WANNENG_CASES is not set: run the cases with pytest tests/clients, which starts a gateway for them")
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases suite
	if err := json.Unmarshal(content, &cases); err != nil {
		t.Fatal(err)
	}
	for _, one := range cases.Cases {
		t.Run(one.Name, func(t *testing.T) {
			variables := object{}
			for name, value := range cases.Variables {
				variables[name] = value
			}
			for number, step := range one.Steps {
				if err := run(cases, step, variables); err != nil {
					t.Fatalf("step %d, %s: %v", number+1, step.Call, err)
				}
			}
		})
	}
}

func run(cases suite, step step, variables object) error {
	key := step.Key
	if key == "" {
		key = "tenant"
	}
	client, err := wanneng.New(cases.URL, cases.Keys[key])
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		answer, header, err := call(client, step, variables)
		if step.Refused != nil {
			return checkRefusal(*step.Refused, err)
		}
		if err != nil {
			return err
		}
		if pending := check(step.Until, answer, variables); pending != nil {
			if time.Now().After(deadline) {
				return pending
			}
			continue
		}
		for name, value := range step.Headers {
			if header.Get(name) != value {
				return fmt.Errorf("%s is %q, not %q", name, header.Get(name), value)
			}
		}
		for name, pointer := range step.Save {
			variables[name], _ = at(answer, pointer)
		}
		return check(step.Expect, answer, variables)
	}
}

// call makes a step's call by its operation id; its answer as JSON has it.
func call(client *wanneng.ClientWithResponses, step step, variables object) (any, http.Header, error) {
	ctx, path := context.Background(), fill(step.Path, variables).(object)
	switch step.Call {
	case "classify":
		response, err := client.ClassifyWithResponse(
			ctx, params[wanneng.ClassifyParams](step, variables), body[wanneng.ClassifyBody](step, variables))
		if err != nil {
			return nil, nil, err
		}
		return plain(response.JSON200), response.HTTPResponse.Header, nil
	case "tokenize":
		response, err := client.TokenizeWithResponse(ctx, nil, body[wanneng.TokenizeBody](step, variables))
		if err != nil {
			return nil, nil, err
		}
		return plain(response.JSON200), response.HTTPResponse.Header, nil
	case "putLabelSet":
		response, err := client.PutLabelSetWithResponse(
			ctx,
			path["name"].(string),
			params[wanneng.PutLabelSetParams](step, variables),
			body[wanneng.LabelSetBody](step, variables))
		if err != nil {
			return nil, nil, err
		}
		if response.JSON201 != nil {
			return plain(response.JSON201), response.HTTPResponse.Header, nil
		}
		return plain(response.JSON200), response.HTTPResponse.Header, nil
	case "listLabelSets":
		response, err := client.ListLabelSetsWithResponse(ctx, params[wanneng.ListLabelSetsParams](step, variables))
		if err != nil {
			return nil, nil, err
		}
		return plain(response.JSON200), response.HTTPResponse.Header, nil
	case "getUsage":
		response, err := client.GetUsageWithResponse(ctx, params[wanneng.GetUsageParams](step, variables))
		if err != nil {
			return nil, nil, err
		}
		return plain(response.JSON200), response.HTTPResponse.Header, nil
	case "uploadFile":
		contentType, form, err := upload(step.Form)
		if err != nil {
			return nil, nil, err
		}
		response, err := client.UploadFileWithBodyWithResponse(ctx, nil, contentType, form)
		if err != nil {
			return nil, nil, err
		}
		return plain(response.JSON200), response.HTTPResponse.Header, nil
	case "createBatch":
		response, err := client.CreateBatchWithResponse(ctx, nil, body[wanneng.BatchBody](step, variables))
		if err != nil {
			return nil, nil, err
		}
		return plain(response.JSON200), response.HTTPResponse.Header, nil
	case "getBatch":
		response, err := client.GetBatchWithResponse(ctx, path["batch_id"].(string), nil)
		if err != nil {
			return nil, nil, err
		}
		return plain(response.JSON200), response.HTTPResponse.Header, nil
	case "downloadFile":
		response, err := client.DownloadFileWithResponse(ctx, path["file_id"].(string), nil)
		if err != nil {
			return nil, nil, err
		}
		return plain(json.RawMessage(response.Body)), response.HTTPResponse.Header, nil
	}
	return nil, nil, fmt.Errorf("the suite has no call of this name")
}

func params[T any](step step, variables object) *T {
	merged := object{}
	for _, part := range []object{step.Query, step.Header} {
		for name, value := range part {
			merged[name] = value
		}
	}
	value := decoded[T](fill(merged, variables))
	return &value
}

func body[T any](step step, variables object) T {
	return decoded[T](fill(step.Body, variables))
}

func decoded[T any](value any) (typed T) {
	encoded, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(encoded, &typed)
	}
	if err != nil {
		panic(err)
	}
	return typed
}

// plain is a typed answer as JSON has it.
func plain(answer any) any { return decoded[any](answer) }

func upload(fields object) (contentType string, form *bytes.Buffer, err error) {
	form = &bytes.Buffer{}
	writer := multipart.NewWriter(form)
	if err = writer.WriteField("purpose", fields["purpose"].(string)); err != nil {
		return "", nil, err
	}
	part, err := writer.CreateFormFile("file", "lines.jsonl")
	if err != nil {
		return "", nil, err
	}
	if _, err = part.Write([]byte(fields["file"].(string))); err != nil {
		return "", nil, err
	}
	return writer.FormDataContentType(), form, writer.Close()
}

// fill puts variables where a string is "$name".
func fill(value any, variables object) any {
	switch value := value.(type) {
	case string:
		if name, found := strings.CutPrefix(value, "$"); found {
			return variables[name]
		}
	case object:
		filled := object{}
		for name, member := range value {
			filled[name] = fill(member, variables)
		}
		return filled
	case []any:
		filled := make([]any, len(value))
		for index, member := range value {
			filled[index] = fill(member, variables)
		}
		return filled
	}
	return value
}

func check(expected object, answer any, variables object) error {
	for pointer, wanted := range expected {
		value, found := at(answer, pointer)
		special, _ := wanted.(object)
		length, ofLength := special["length"].(float64)
		absent, mayBeAbsent := special["absent"].(bool)
		list, _ := value.([]any)
		switch {
		case mayBeAbsent && found != absent:
		case ofLength && len(list) == int(length):
		case !mayBeAbsent && !ofLength && found && same(value, fill(wanted, variables)):
		default:
			return fmt.Errorf("%s is %v, not %v", pointer, value, wanted)
		}
	}
	return nil
}

func checkRefusal(expected refusal, err error) error {
	var refused *wanneng.GatewayRefused
	if !errors.As(err, &refused) {
		return fmt.Errorf("not refused, but %v", err)
	}
	_, retry := refused.RetryAfter()
	if refused.Status != expected.Status || refused.Code != expected.Code || refused.Detail == "" ||
		refused.RequestID == "" || refused.RequestID != refused.Header.Get("X-Request-Id") ||
		(expected.RequestID != nil && *expected.RequestID != refused.RequestID) ||
		(expected.RetryAfter != nil && *expected.RetryAfter != retry) ||
		!reflect.DeepEqual(expected.Field, refused.Field) {
		return fmt.Errorf("refused otherwise: %+v", *refused)
	}
	return nil
}

// at is what a JSON pointer leads to (RFC 6901, without escapes).
func at(value any, pointer string) (any, bool) {
	for _, part := range strings.Split(pointer, "/")[1:] {
		switch holder := value.(type) {
		case object:
			member, found := holder[part]
			if !found {
				return nil, false
			}
			value = member
		case []any:
			index, err := strconv.Atoi(part)
			if err != nil || index >= len(holder) {
				return nil, false
			}
			value = holder[index]
		default:
			return nil, false
		}
	}
	return value, true
}

func same(value, expected any) bool {
	number, isNumber := value.(float64)
	other, alsoNumber := expected.(float64)
	if isNumber && alsoNumber {
		return math.Abs(number-other) <= tolerance
	}
	list, isList := value.([]any)
	others, alsoList := expected.([]any)
	if isList && alsoList && len(list) == len(others) {
		for index := range list {
			if !same(list[index], others[index]) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(value, expected)
}
