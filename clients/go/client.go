// Package wanneng is the client of a wanneng gateway, generated from its OpenAPI document.
package wanneng

//go:generate go tool oapi-codegen -config oapi-codegen.yaml ../openapi.json

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const maxProblemBytes = 1 << 20

// New returns a client of the gateway at url. An empty key is for a gateway that asks for none.
// Where the gateway refuses, the client's methods return a *GatewayRefused.
func New(url, key string, options ...ClientOption) (*ClientWithResponses, error) {
	if key != "" {
		options = append(options, WithRequestEditorFn(func(_ context.Context, request *http.Request) error {
			request.Header.Set("Authorization", "Bearer "+key)
			return nil
		}))
	}
	client, err := NewClient(url, options...)
	if err != nil {
		return nil, err
	}
	client.Client = refusing{client.Client}
	return &ClientWithResponses{client}, nil
}

// GatewayRefused is the gateway's problem document (RFC 9457). Programs look at Code, people at Detail.
type GatewayRefused struct {
	Problem
	Header http.Header
}

func (refused *GatewayRefused) Error() string {
	return fmt.Sprintf("%d %s: %s", refused.Status, refused.Code, refused.Detail)
}

// RetryAfter is how long to wait before the next try; false: waiting does not help, or nobody says how long.
func (refused *GatewayRefused) RetryAfter() (time.Duration, bool) {
	seconds, err := strconv.Atoi(refused.Header.Get("Retry-After"))
	return time.Duration(seconds) * time.Second, err == nil
}

// refusing turns the answers of a gateway that refuses into errors.
type refusing struct{ doer HttpRequestDoer }

func (client refusing) Do(request *http.Request) (*http.Response, error) {
	response, err := client.doer.Do(request)
	if err != nil || response.StatusCode < http.StatusBadRequest {
		return response, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxProblemBytes))
	if err != nil {
		return nil, err
	}
	refused := &GatewayRefused{Header: response.Header}
	if json.Unmarshal(body, &refused.Problem) != nil || refused.Code == "" {
		// Of a proxy between.
		refused.Problem = Problem{Code: "http_error", Detail: response.Status}
	}
	refused.Status = response.StatusCode
	return nil, refused
}
