/**
 * No byte of one request becomes part of another: malformed and ambiguous requests before a lenient upstream.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Banyan, type ClientAnswer, converse, readAnswers, startBanyan } from './banyan.ts'
import { type LenientUpstream, type Recorded, startLenientUpstream } from './lenient-upstream.ts'
import { REQUEST_CASES, type RequestCase } from './request-cases.ts'
import { readStrictly, type StrictMessage } from './strict.ts'

const MARKER = 'GET /marker HTTP/1.1\r\nHost: front.test\r\nConnection: close\r\n\r\n'
const AFTER = 'GET /after HTTP/1.1\r\nHost: front.test\r\nConnection: close\r\n\r\n'

let upstream: LenientUpstream
let banyan: Banyan

beforeAll(async () => {
  upstream = await startLenientUpstream()
  banyan = await startBanyan(
    `version: 1\nupstreams:\n  legacy: { servers: ['http://127.0.0.1:${upstream.port}'] }\ndefault: legacy\n`,
  )
})

afterAll(async () => {
  expect(await banyan.stop()).toBe(0)
  await upstream.close()
})

/** How far the bytes of each upstream connection have been read. */
const readUpTo = new Map<Recorded, number>()

/** What the upstream got since the last call, read by the grammar: each message well-formed, with one reading only. */
function newMessages(): StrictMessage[] {
  const messages: StrictMessage[] = []
  const problems: (string | null)[] = []
  for (const connection of upstream.connections) {
    const read = readStrictly(connection.bytes.slice(readUpTo.get(connection) ?? 0))
    readUpTo.set(connection, connection.bytes.length)
    // An incomplete message may only be what banyan has broken off.
    problems.push(read.rest === '' || connection.closed ? read.problem : (read.problem ?? 'an incomplete message'))
    messages.push(...read.messages)
  }
  expect(problems.filter((problem) => problem !== null)).toEqual([])
  return messages
}

function expectProblem(answer: ClientAnswer, statuses: readonly number[]): void {
  expect(statuses).toContain(answer.status)
  expect(answer.head).toMatch(/\r\nContent-Type: application\/problem\+json(\r\n|$)/i)
  expect(answer.head).toMatch(/\r\nConnection: close(\r\n|$)/i)
  expect(JSON.parse(answer.body)).toMatchObject({ status: answer.status, requestId: expect.any(String) })
}

/** What each complete message to the upstream must be, and the answers that the client must get. */
function expectations(one: RequestCase): { targets: string[]; answered: number } {
  const before = Array.from({ length: one.before ?? 0 }, () => '/case')
  if ('refused' in one.outcome) return { targets: before, answered: before.length }
  const target = one.outcome.target ?? '/case'
  const targets = one.outcome.last === true ? [...before, target] : [...before, target, '/marker']
  return { targets, answered: targets.length }
}

describe('a request that is malformed, or could be read in two ways', () => {
  test('there are enough of them', () => {
    expect(REQUEST_CASES.length).toBeGreaterThanOrEqual(60)
    expect(new Set(REQUEST_CASES.map(({ name }) => name)).size).toBe(REQUEST_CASES.length)
  })

  test.each(REQUEST_CASES.map((one) => [one.name, one] as const))('%s', async (_, one) => {
    const understoodBefore = upstream.understood.length
    const received = await converse(banyan.port, one.bytes + MARKER)
    // Whatever is still on its way to the upstream would be read by it before this one's answer.
    expect(readAnswers(await converse(banyan.port, AFTER), ['GET'])[0]?.body).toBe('you asked for /after')

    const { targets, answered } = expectations(one)
    const answers = readAnswers(received, [...(one.before ? ['GET'] : []), one.method ?? 'GET', 'GET'])
    const messages = newMessages()
    expect(messages.map(({ target }) => target).sort()).toEqual([...targets, '/after'].sort())
    expect(
      upstream.understood
        .slice(understoodBefore)
        .map(({ target }) => target)
        .sort(),
    ).toEqual(messages.map(({ target }) => target).sort())
    expect(answers.slice(0, answered).map(({ status }) => status)).toEqual(targets.map(() => 200))
    if ('refused' in one.outcome) {
      const refusals = answers.slice(answered)
      expect(refusals).toHaveLength(one.outcome.refused.length === 0 ? 0 : 1)
      for (const refusal of refusals) expectProblem(refusal, one.outcome.refused)
    } else {
      expect(answers).toHaveLength(answered)
      const target = one.outcome.target ?? '/case'
      expect(messages.find((message) => message.target === target)?.body).toBe(one.outcome.passes)
      if (one.method !== 'HEAD') expect(answers[0]?.body).toBe(`you asked for ${target}`)
      expect(answers.at(-1)?.body).toBe(`you asked for ${targets.at(-1)}`)
    }
  })
})
