/**
 * No byte of one answer becomes part of another: malformed and ambiguous answers of an upstream.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Banyan, type ClientAnswer, RawClient, readAnswers, startBanyan } from './banyan.ts'
import { RESPONSE_CASES, type ResponseCase } from './response-cases.ts'
import { type ScriptedUpstream, startScriptedUpstream } from './scripted-upstream.ts'

let upstream: ScriptedUpstream
let banyan: Banyan

beforeAll(async () => {
  upstream = await startScriptedUpstream()
  banyan = await startBanyan(
    `version: 1\nupstreams:\n  legacy: { servers: ['http://127.0.0.1:${upstream.port}'] }\ndefault: legacy\n`,
  )
})

afterAll(async () => {
  expect(await banyan.stop()).toBe(0)
  await upstream.close()
})

function requestText(method: string, target: string, fields = ''): string {
  return `${method} ${target} HTTP/1.1\r\nHost: front.test\r\n${fields}\r\n`
}

/** The answer to the case, or null where none came that is complete. */
function caseAnswer(client: RawClient, method: string, ended: boolean): ClientAnswer | null {
  // A reset says that the answer is not complete even where the end of the connection would be the end of the body.
  const answer = readAnswers(client.received, [method], ended && !client.reset)[0]
  return answer?.complete === true ? answer : null
}

/** Sends the next request, on the same client connection where that is still open. @returns what it is told */
async function nextBody(client: RawClient): Promise<string> {
  const open = client.socket.writable && !client.socket.readableEnded
  const next = open ? client : new RawClient(banyan.port)
  const before = next.received.length
  next.send(requestText('GET', '/next', 'Connection: close\r\n'))
  await next.closed
  if (next.received.length === before) return await nextBody(new RawClient(banyan.port))
  const answers = readAnswers(next.received.slice(before), ['GET'])
  expect(answers).toHaveLength(1)
  return (answers[0] as ClientAnswer).body
}

async function play(one: ResponseCase): Promise<{ answer: ClientAnswer | null; next: string; received: string }> {
  const method = one.method ?? 'GET'
  upstream.script = one.bytes
  upstream.ending = one.ending ?? 'stay'
  const client = new RawClient(banyan.port)
  client.send(requestText(method, '/case'))
  await client.until(() => caseAnswer(client, method, false) !== null)
  const answer = caseAnswer(client, method, client.socket.closed)
  const { received } = client
  if (one.late !== undefined) {
    upstream.late(one.late)
    await upstream.caseClosed()
  }
  return { answer, next: await nextBody(client), received }
}

describe('an answer that is malformed, cut off, or more than one', () => {
  test('there are enough of them', () => {
    expect(RESPONSE_CASES.length).toBeGreaterThanOrEqual(30)
    expect(new Set(RESPONSE_CASES.map(({ name }) => name)).size).toBe(RESPONSE_CASES.length)
  })

  test.each(RESPONSE_CASES.map((one) => [one.name, one] as const))('%s', async (_, one) => {
    const { outcome } = one
    const { answer, next, received } = await play(one)
    expect(received).not.toContain('EVIL')
    if (outcome === 'refused') {
      expect(answer?.status).toBe(502)
      expect(answer?.head).toMatch(/\r\nContent-Type: application\/problem\+json(\r\n|$)/i)
      expect(JSON.parse(answer?.body ?? '')).toMatchObject({ status: 502, requestId: expect.any(String) })
    } else if (outcome === 'broken') {
      expect(answer).toBeNull()
    } else {
      expect(answer).toMatchObject({ status: outcome.status, body: outcome.body })
    }
    const reused = typeof outcome === 'object' && outcome.reused === true
    if (reused) expect(next).toBe(`/next on connection ${upstream.caseConnection}`)
    else {
      expect(next).toMatch(/^\/next on connection [0-9]+$/)
      expect(next).not.toBe(`/next on connection ${upstream.caseConnection}`)
      await upstream.caseClosed()
    }
  })
})
