// The OpenAI SDK for Node against a running gateway. tests/blackbox/test_node_clients.py starts it and its upstreams,
// and says in the environment where it listens and what every row of the error table must look like.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const baseURL = process.env.BASE_URL;
const rows = JSON.parse(process.env.ERROR_TABLE);
const client = new OpenAI({ baseURL, apiKey: "sk-client", maxRetries: 0 });
const messages = [{ role: "user", content: "two words" }];
const weather = {
  type: "function",
  function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
};

async function failureOf(call) {
  try {
    const answer = await call();
    for await (const _ of answer); // a streamed failure may come with the first read
  } catch (error) {
    return error;
  }
  assert.fail("the call succeeded");
}

test("a plain chat completion", async () => {
  const { data, response } = await client.chat.completions.create({ model: "m", messages }).withResponse();
  assert.equal(data.choices[0].message.content, "echo: two words");
  assert.equal(response.headers.get("x-spillway-deployment"), "healthy");
  assert.equal(data._request_id, response.headers.get("x-request-id"));
});

test("a streamed chat completion with usage", async () => {
  const options = { stream: true, stream_options: { include_usage: true } };
  const stream = await client.chat.completions.create({ model: "m", messages, ...options });
  let text = "";
  let usage;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, "echo: two words");
  assert.equal(usage.total_tokens, 12);
});

test("tools, plain and streamed", async () => {
  const plain = await client.chat.completions.create({ model: "m", messages, tools: [weather] });
  assert.equal(plain.choices[0].message.tool_calls[0].function.arguments, '{"city": "Zürich"}');
  const stream = client.chat.completions.stream({ model: "m", messages, tools: [weather] });
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].message.tool_calls[0].function.arguments, '{"city": "Zürich"}');
});

test("embeddings, responses and speech", async () => {
  const embeddings = await client.embeddings.create({ model: "m", input: "x", encoding_format: "float" });
  assert.deepEqual(embeddings.data[0].embedding, [0.25, -0.5, 0]);
  assert.equal((await client.responses.create({ model: "m", input: "hi" })).output_text, "echo: hi");
  const kinds = [];
  for await (const event of await client.responses.create({ model: "m", input: "hi", stream: true })) {
    kinds.push(event.type);
  }
  assert.equal(kinds.at(-1), "response.completed");
  const speech = await client.audio.speech.create({ model: "m", input: "hi", voice: "alloy" });
  assert.equal((await speech.arrayBuffer()).byteLength, 2048);
});

test("a hundred concurrent calls each get their own answer", async () => {
  const ask = async (number) => {
    const content = `number ${number}`;
    const answer = await client.chat.completions.create({ model: "m", messages: [{ role: "user", content }] });
    return answer.choices[0].message.content;
  };
  const answers = await Promise.all(Array.from({ length: 100 }, (_, number) => ask(number)));
  assert.deepEqual(answers, Array.from({ length: 100 }, (_, number) => `echo: number ${number}`));
});

for (const stream of [false, true]) {
  for (const row of rows) {
    test(`${row.model}, ${stream ? "streamed" : "plain"}, raises ${row.sdkClass}`, async () => {
      const error = await failureOf(() => client.chat.completions.create({ model: row.model, messages, stream }));
      assert.equal(error.constructor.name, row.sdkClass);
      assert.equal(error.status, row.status);
      assert.equal(error.type, row.type);
      if (row.code !== null) assert.equal(error.code, row.code);
      assert.ok(error.requestID, "the request id is there");
      assert.equal(error.requestID, error.headers.get("x-request-id"));
    });
  }
}

test("the SDK's own timeout", async () => {
  const call = client.chat.completions.create({ model: "never-answers", messages }, { timeout: 500 });
  await assert.rejects(call, OpenAI.APIConnectionTimeoutError);
});

test("a client that leaves mid-stream", async () => {
  const stream = await client.chat.completions.create({ model: "stalls-mid-stream", messages, stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    break; // the SDK aborts the request
  }
});

test("a stream that is cut raises", async () => {
  const stream = await client.chat.completions.create({ model: "cut-mid-stream", messages, stream: true });
  const seen = [];
  await assert.rejects(async () => {
    for await (const chunk of stream) seen.push(chunk);
  }, OpenAI.APIError);
  assert.equal(seen.length, 3);
});
