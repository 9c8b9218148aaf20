// The Vercel AI SDK against a running gateway: a plain and a streamed call, a tool, and a failure.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, jsonSchema, streamText, tool } from "ai";

const provider = createOpenAICompatible({ name: "spillway", baseURL: process.env.BASE_URL, apiKey: "sk-client" });

test("a plain call", async () => {
  const result = await generateText({ model: provider("m"), prompt: "two words", maxRetries: 0 });
  assert.equal(result.text, "echo: two words");
  assert.equal(result.usage.totalTokens, 12);
});

test("a streamed call", async () => {
  const result = streamText({ model: provider("m"), prompt: "two words", maxRetries: 0 });
  let text = "";
  for await (const piece of result.textStream) text += piece;
  assert.equal(text, "echo: two words");
  assert.equal(await result.finishReason, "stop");
});

test("a tool call", async () => {
  const city = jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"] });
  const weather = tool({ description: "The weather in a city.", inputSchema: city });
  const result = await generateText({ model: provider("m"), prompt: "x", tools: { weather }, maxRetries: 0 });
  assert.deepEqual(result.toolCalls[0].input, { city: "Zürich" });
});

test("a rate limit is a retryable call error with its status", async () => {
  const call = generateText({ model: provider("limited"), prompt: "x", maxRetries: 0 });
  await assert.rejects(call, (error) => {
    assert.ok(APICallError.isInstance(error));
    assert.equal(error.statusCode, 429);
    assert.equal(error.isRetryable, true);
    return true;
  });
});
