// Which form a client sends and takes (http-api-v1 §2).
import { expect, test } from "vitest";
import { acceptedType, JSON_TYPE, mediaTypeOf, PROTOBUF_TYPE } from "#protocol/media-type.ts";

const NONE = undefined;

test.each([
  [null, JSON_TYPE],
  ["application/json", JSON_TYPE],
  ["*/*", JSON_TYPE],
  ["application/*", JSON_TYPE],
  ["text/html, */*;q=0.8", JSON_TYPE],
  ["application/x-protobuf", PROTOBUF_TYPE],
  ["application/x-protobuf; q=0.9", PROTOBUF_TYPE],
  // Whatever the order and the weights.
  ["application/x-protobuf;q=1, application/json;q=0.1", JSON_TYPE],
  ["application/json;q=0, application/x-protobuf", PROTOBUF_TYPE],
  ["application/json;q=0.0, */*", PROTOBUF_TYPE],
  ["application/json;q=0", NONE],
  ["application/json;q=0, application/x-protobuf;q=0, */*", NONE],
  ["*/*;q=0", NONE],
  ["text/plain", NONE],
  ["application/jsonp", NONE],
  ["", NONE],
])("Accept: %s gives %s", (header, expected) => {
  expect(acceptedType(header)).toBe(expected);
});

test("an API of JSON alone", () => {
  expect(acceptedType("*/*", [JSON_TYPE])).toBe(JSON_TYPE);
  expect(acceptedType(PROTOBUF_TYPE, [JSON_TYPE])).toBe(NONE);
});

test.each([
  ["application/json", "application/json"],
  ["application/json; charset=utf-8", "application/json"],
  ["application/x-protobuf;messageType=x", "application/x-protobuf"],
  ["Application/JSON", "Application/JSON"],
  ["", ""],
])("Content-Type: %s names %s", (header, expected) => {
  expect(mediaTypeOf(header)).toBe(expected);
});
