// Receives security event tokens: verifies each one, drops repeats by `jti`, answers as RFC 8935 has it.
//
//	JWKS_URL=… ISSUER=… AUDIENCE=… PORT=9000 go run .
//
// AUDIENCE is the URL of this endpoint as the subscription has it, or several, separated by spaces.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	bodyMaxBytes = 262_144
	keptIDs      = 100_000
	keysFor      = 10 * time.Minute // how long fetched keys are used
	keysPause    = 30 * time.Second // between two fetches for unknown keys
	failurePause = 3 * time.Second  // after a fetch that failed
)

// The algorithms that the service signs with. A key of the other kind does not verify: the library compares them.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.EdDSA}

// refusal says why a token is not acceptable (RFC 8935, section 2.4).
type refusal struct {
	Err         string `json:"err"`
	Description string `json:"description"`
	status      int
}

func (r refusal) Error() string { return r.Err + ": " + r.Description }

func refuse(code, description string) error {
	return refusal{code, description, http.StatusBadRequest}
}

// errLater means that nobody knows whether the token is acceptable: it must come again.
var errLater = errors.New("later")

// keySet keeps the published keys. Its URL is from the configuration, never from a token's `jku`.
type keySet struct {
	url    string
	client http.Client

	mutex   sync.Mutex // held during a fetch, so that requests share it
	keys    jose.JSONWebKeySet
	fetched time.Time
	failed  time.Time
}

// find returns the keys with an id. It fetches when there are none, when they are old, and for an unknown id.
func (s *keySet) find(kid string) ([]jose.JSONWebKey, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	age := time.Since(s.fetched)
	found := s.keys.Key(kid)
	if age < keysFor && (len(found) > 0 || age < keysPause) {
		return found, nil
	}
	if time.Since(s.failed) < failurePause {
		return nil, fmt.Errorf("%w: the keys could not be fetched", errLater)
	}
	keys, err := s.fetch()
	if err != nil {
		s.failed = time.Now()
		return nil, fmt.Errorf("%w: the keys cannot be fetched: %v", errLater, err)
	}
	s.keys, s.fetched = keys, time.Now()
	return s.keys.Key(kid), nil
}

func (s *keySet) fetch() (keys jose.JSONWebKeySet, err error) {
	response, err := s.client.Get(s.url)
	if err != nil {
		return keys, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return keys, errors.New(response.Status)
	}
	err = json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&keys)
	return keys, err
}

type claims struct {
	jwt.Claims
	Events map[string]json.RawMessage `json:"events"`
}

type verifier struct {
	keys      *keySet
	issuer    string
	audiences []string
}

// verify returns the claims, or a refusal, or errLater if the keys cannot be fetched.
func (v verifier) verify(token string) (got claims, err error) {
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return got, refuse("invalid_request", err.Error())
	}
	header := parsed.Headers[0]
	// The library does not check the type: without this line, any other token of the same keys would pass.
	if kind, _ := header.ExtraHeaders[jose.HeaderType].(string); !strings.EqualFold(kind, "secevent+jwt") {
		return got, refuse("invalid_request", "the type must be secevent+jwt")
	}
	keys, err := v.keys.find(header.KeyID)
	if err != nil {
		return got, err
	}
	if len(keys) != 1 {
		return got, refuse("invalid_key", "the key is not published")
	}
	var payload json.RawMessage
	if err := parsed.Claims(keys[0].Key, &payload); err != nil {
		return got, refuse("invalid_key", err.Error())
	}
	if err := json.Unmarshal(payload, &got); err != nil {
		return got, refuse("invalid_request", err.Error())
	}
	switch {
	case got.Issuer != v.issuer:
		return got, refuse("invalid_issuer", "the issuer is another")
	case !slices.ContainsFunc(v.audiences, got.Audience.Contains):
		return got, refuse("invalid_audience", "the token is for another endpoint")
	case got.ID == "" || got.IssuedAt == nil || got.Events == nil:
		return got, refuse("invalid_request", `"jti", "iat" and "events" are required`)
	}
	times := got.Claims
	times.IssuedAt = nil // clocks differ, so a time of issue that is ahead of ours says nothing
	if err := times.ValidateWithLeeway(jwt.Expected{Time: time.Now()}, time.Minute); err != nil {
		return got, refuse("invalid_request", err.Error())
	}
	return got, nil
}

// once does the work once for each id. In production: a table with a unique index, which outlives a restart.
type once struct {
	mutex  sync.Mutex
	taken  map[string]bool // false: being taken
	oldest []string
}

func (o *once) do(jti string, work func() error) error {
	o.mutex.Lock()
	taken, known := o.taken[jti]
	if !known {
		o.taken[jti] = false
	}
	o.mutex.Unlock()
	if taken {
		return nil
	}
	if known {
		return fmt.Errorf("%w: a copy of the event is being taken", errLater)
	}
	done := false
	defer func() { // also after a panic
		o.mutex.Lock()
		defer o.mutex.Unlock()
		if !done { // the event must come again
			delete(o.taken, jti)
			return
		}
		o.taken[jti] = true
		if o.oldest = append(o.oldest, jti); len(o.oldest) > keptIDs {
			delete(o.taken, o.oldest[0])
			o.oldest = o.oldest[1:]
		}
	}()
	err := work()
	done = err == nil
	return err
}

// take is your work: store the event, or put it on a queue. Keep it short: the service waits 10 s for the answer.
func take(got claims) error {
	fmt.Println("verified", got.ID)
	return nil
}

func receive(v verifier, seen *once, w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		return refusal{"invalid_request", "the method must be POST", http.StatusMethodNotAllowed}
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/secevent+jwt" {
		return refusal{"invalid_request", "the media type must be application/secevent+jwt", http.StatusUnsupportedMediaType}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMaxBytes))
	if err != nil {
		return refusal{"invalid_request", err.Error(), http.StatusRequestEntityTooLarge}
	}
	got, err := v.verify(string(body))
	if err != nil {
		return err
	}
	return seen.do(got.ID, func() error { return take(got) })
}

func main() {
	v := verifier{
		keys:      &keySet{url: os.Getenv("JWKS_URL"), client: http.Client{Timeout: 5 * time.Second}},
		issuer:    os.Getenv("ISSUER"),
		audiences: strings.Fields(os.Getenv("AUDIENCE")),
	}
	if v.keys.url == "" || v.issuer == "" || len(v.audiences) == 0 {
		log.Fatal("JWKS_URL, ISSUER and AUDIENCE must be set")
	}
	seen := &once{taken: map[string]bool{}}
	handler := func(w http.ResponseWriter, r *http.Request) {
		err := receive(v, seen, w, r)
		var refused refusal
		switch {
		case err == nil:
			w.WriteHeader(http.StatusAccepted)
		case errors.As(err, &refused):
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Language", "en")
			w.WriteHeader(refused.status)
			json.NewEncoder(w).Encode(refused)
		case errors.Is(err, errLater):
			log.Print(err)
			w.Header().Set("Retry-After", "10")
			w.WriteHeader(http.StatusServiceUnavailable)
		default: // the work failed: the service sends the event again
			log.Print(err)
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
	address := "127.0.0.1:" + cmp.Or(os.Getenv("PORT"), "9000")
	server := http.Server{Addr: address, Handler: http.HandlerFunc(handler), ReadTimeout: 30 * time.Second}
	fmt.Println("listening on http://" + address)
	log.Fatal(server.ListenAndServe())
}
