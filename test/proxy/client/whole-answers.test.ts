/**
 * An answer that is written past node:http's own head is, byte for byte, the one that node:http would have written.
 */
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { endWhole, wholeAnswer } from '../../../src/proxy/client/whole-answer.ts'

interface Given {
  readonly status: number
  readonly reason: string
  readonly fields: string[]
  readonly body: string
  readonly keeps: boolean
}

let give: (res: ServerResponse) => void
const server = createServer({ keepAliveTimeout: 7000 }, (_req, res) => give(res))

beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)))
afterAll(() => {
  server.close()
})

/** What a client gets over a connection of its own, Latin-1. */
function answerTo(request: string, by: (res: ServerResponse) => void): Promise<string> {
  give = by
  return new Promise((resolve, reject) => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    let got = ''
    // The second request shows that node:http goes on as it should, and its answer ends the connection.
    socket.write(request)
    socket.on('data', (bytes: Buffer) => {
      got += bytes.toString('latin1')
      if (give !== by || !/\r\nConnection: keep-alive\r\n/i.test(got)) return
      give = (res) => void res.writeHead(200, ['Connection', 'close', 'Content-Length', '0']).end()
      socket.write('GET /again HTTP/1.1\r\nHost: x\r\n\r\n')
    })
    socket.once('close', () => resolve(got)).once('error', reject)
  })
}

const token = fc.string({ minLength: 1, maxLength: 18, unit: fc.constantFrom(...'abcxyz-DATE') })
const name = fc.oneof(
  token,
  fc.constantFrom('Date', 'date', 'ETag', 'Server', 'Set-Cookie', 'Trailer', 'Connection', 'Content-Type', 'Via'),
)
const value = fc.string({ maxLength: 12, unit: fc.constantFrom(...'abc ,;=\t\xe9\xff"') }).map((text) => text.trim())
const given: fc.Arbitrary<Given> = fc
  .record({
    status: fc.constantFrom(200, 201, 204, 304, 404, 500, 599),
    reason: fc.constantFrom('OK', '', 'Not  Found', '\xe9t\xe9'),
    pairs: fc.array(fc.tuple(name, value), { maxLength: 6 }),
    body: fc.string({ maxLength: 20 }).map((text) => Buffer.from(text).toString('latin1')),
    length: fc.boolean(),
    keeps: fc.boolean(),
  })
  .map(({ status, reason, pairs, body, length, keeps }) => {
    const fields = pairs.flat()
    if (length) fields.push('Content-Length', String(body.length))
    return { status, reason, fields, body, keeps }
  })

function plainly(res: ServerResponse, { status, reason, fields, body, keeps }: Given): void {
  if (!keeps) res.shouldKeepAlive = false
  res.writeHead(status, reason, fields as never)
  if (body === '') res.end()
  else res.end(body, 'latin1')
}

const withoutTime = (bytes: string): string => bytes.replace(/\r\nDate: \w{3}, [^\r]* GMT\r\n/g, '\r\nDate: now\r\n')

describe('a whole answer', () => {
  test.each(['GET', 'HEAD'])('to %s is what node:http would have sent, or null', async (method) => {
    let written = 0
    await fc.assert(
      fc.asyncProperty(given, async (one) => {
        const request = `${method} / HTTP/1.1\r\nHost: x\r\n\r\n`
        const body = one.body === '' ? null : one.body
        let text: string | null = null
        const got = await answerTo(request, (res) => {
          if (!one.keeps) res.shouldKeepAlive = false
          text = wholeAnswer(res, one.status, one.reason, one.fields, body)
          if (text === null) res.writeHead(200, ['Connection', 'close', 'Content-Length', '0']).end()
          else endWhole(res, text)
        })
        if (text === null) return
        written++
        expect(withoutTime(got)).toBe(withoutTime(await answerTo(request, (res) => plainly(res, one))))
      }),
      { numRuns: 300 },
    )
    expect(written).toBeGreaterThan(10)
  })

  test.each([
    ['a body without a length', 'HTTP/1.1', 200, ['A', 'b'], 'body'],
    ['no body and no length', 'HTTP/1.1', 200, ['A', 'b'], ''],
    ['Connection', 'HTTP/1.1', 200, ['Content-Length', '0', 'CONNECTION', 'Upgrade'], ''],
    ['Trailer', 'HTTP/1.1', 200, ['Content-Length', '0', 'trailer', 'X'], ''],
    ['a client of HTTP/1.0', 'HTTP/1.0', 200, ['Content-Length', '0'], ''],
    ['a body where there can be none', 'HTTP/1.1', 204, [], 'body'],
  ])('%s is left to node:http', async (_, version, status, fields, body) => {
    let text: string | null = ''
    await answerTo(`GET / ${version}\r\nHost: x\r\n\r\n`, (res) => {
      text = wholeAnswer(res, status, 'OK', fields, body === '' ? null : body)
      res.writeHead(200, ['Connection', 'close', 'Content-Length', '0']).end()
    })
    expect(text).toBeNull()
  })
})
