// verify.go WAY CASE...
//
//	Has the guide's verifiers judge requests, by "header" or by "body"
//	(test/perl/Judge.pm says what a case is, and what is printed).
//
// test/languages/verify.go
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"receiving/webhook"
)

func read(dir, name string) []byte {
	bytes, err := os.ReadFile(dir + "/" + name)
	if err != nil {
		panic(err)
	}
	return bytes
}

func main() {
	for _, dir := range os.Args[2:] {
		text := func(name string) string { return string(read(dir, name)) }
		body := read(dir, "body")
		secrets := strings.Split(text("secrets"), " ")
		seconds, err := strconv.ParseInt(text("now"), 10, 64)
		if err != nil {
			panic(err)
		}
		now := time.Unix(seconds, 999999999)
		if os.Args[1] == "header" {
			err = webhook.VerifyHeader(text("id"), text("timestamp"), text("signature"), body, secrets, now)
		} else {
			err = webhook.VerifyBody(body, secrets, now)
		}
		if err == nil {
			fmt.Println("valid")
		} else {
			fmt.Println("refused:", err)
		}
	}
}
