/**
 * Orders at authorities that are down, ill or hostile: each ends in a failure that says why, within bounds, and nothing else happens.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { type OrderFailure, type OrderRequest, orderCertificate } from '../../../src/control/acme/order.ts'
import { freePort } from '../../support/free-port.ts'

type Answer = (req: IncomingMessage, res: ServerResponse, base: string) => void

const json = (res: ServerResponse, value: unknown, status = 200, fields: Record<string, string> = {}): void => {
  res.writeHead(status, { 'Content-Type': 'application/json', 'Replay-Nonce': 'bm9uY2U', ...fields })
  res.end(JSON.stringify(value))
}

/** Answers as an authority does, up to a step. */
const sound: Record<string, Answer> = {
  '/dir': (_, res, base) =>
    json(res, Object.fromEntries(['newNonce', 'newAccount', 'newOrder'].map((one) => [one, `${base}/${one}`]))),
  '/newNonce': (_, res) => json(res, {}),
  '/newAccount': (_, res, base) => json(res, { status: 'valid' }, 201, { Location: `${base}/account` }),
  '/newOrder': (_, res, base) =>
    json(res, { status: 'pending', authorizations: [`${base}/authz`], finalize: `${base}/finalize` }, 201, {
      Location: `${base}/order`,
    }),
  '/authz': (_, res, base) =>
    json(res, {
      status: 'pending',
      identifier: { type: 'dns', value: 'shop.test' },
      challenges: [{ type: 'http-01', url: `${base}/challenge`, token: 'a'.repeat(43) }],
    }),
  '/challenge': (_, res, base) => json(res, { status: 'valid', type: 'http-01', url: `${base}/challenge` }),
}

/** An authority that answers in its own way at some paths. */
async function authority(own: Record<string, Answer>): Promise<string> {
  const server = createServer((req, res) => {
    req.resume()
    const answer = own[req.url ?? ''] ?? sound[req.url ?? '']
    if (answer === undefined) json(res, { detail: 'no such thing' }, 404)
    else answer(req, res, base)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return `${base}/dir`
}

async function failure(directory: string, signal = new AbortController().signal): Promise<OrderFailure> {
  const challenges = ['tls-alpn-01', 'http-01'] as const
  const request: OrderRequest = { name: 'shop.test', directory, email: null, eab: null, account: null, challenges }
  const result = await orderCertificate(request, { onAccount: async () => {}, onChallenge: async () => {} }, signal)
  if (!('failure' in result)) throw new Error('there is a certificate')
  return result.failure
}

const always = (text: string, status = 200): Answer => {
  return (_, res) => {
    res.writeHead(status, { 'Content-Type': 'application/json', 'Replay-Nonce': 'bm9uY2U' })
    res.end(text)
  }
}

test('one that is down', async () => {
  const port = await freePort()
  expect(await failure(`http://127.0.0.1:${port}/dir`)).toEqual({
    kind: 'unreachable',
    message: expect.stringMatching(/account: http:\/\/127\.0\.0\.1:\d+ can't be reached: connect ECONNREFUSED/),
    retryAfterMs: null,
  })
})

const ILL: [string, Record<string, Answer>][] = [
  ['a page in the place of the directory', { '/dir': always('<html><body>Maintenance</body></html>') }],
  ['a directory that is null', { '/dir': always('null') }],
  ['a directory of other things', { '/dir': always('{"newNonce":17,"newAccount":[],"newOrder":{}}') }],
  ['a directory that leads elsewhere', { '/dir': always('{"newNonce":"file:///etc/passwd"}') }],
  ['an error of the server', { '/dir': always('{"detail":"try later"}', 503) }],
  ['a redirect to itself', { '/dir': (_, res, base) => res.writeHead(302, { Location: `${base}/dir` }).end() }],
  ['a body without end', { '/dir': (_, res) => pour(res) }],
  [
    'a body that breaks off',
    { '/dir': (_, res) => res.writeHead(200, { 'Content-Length': '99' }).write('{', () => res.destroy()) },
  ],
  ['an order that is a text', { '/newOrder': always('"order"', 201) }],
  ['an order that is null', { '/newOrder': always('null', 201) }],
  [
    'authorizations without end',
    {
      '/newOrder': (_, res, base) =>
        json(res, { authorizations: Array(5000).fill(`${base}/authz`) }, 201, { Location: base }),
    },
  ],
  [
    'an authorization of another name',
    { '/authz': (_, res) => json(res, { status: 'pending', identifier: { value: 'bank.test' }, challenges: [] }) },
  ],
  [
    'a token that is a path',
    {
      '/authz': (_, res, base) =>
        json(res, {
          status: 'pending',
          identifier: { value: 'shop.test' },
          challenges: [{ type: 'http-01', url: `${base}/c`, token: '../../../etc/passwd' }],
        }),
    },
  ],
  [
    'challenges that nobody knows',
    {
      '/authz': (_, res) =>
        json(res, { status: 'pending', identifier: { value: 'shop.test' }, challenges: [{ type: 'dns-01' }, null] }),
    },
  ],
]

function pour(res: ServerResponse): void {
  const piece = Buffer.alloc(65_536, ' ')
  const more = (): void => {
    while (!res.destroyed && res.write(piece)) {}
  }
  res.on('drain', more)
  more()
}

test.each(ILL)('%s counts as an authority that is ill', async (_what, own) => {
  const { kind, message } = await failure(await authority(own))
  expect(message).not.toMatch(/undefined|internal error/)
  expect([kind, message.length > 5]).toEqual(['unreachable', true])
})

test('a refusal is told in its words, and with the pause that it asks for', async () => {
  const limited = await authority({
    '/newOrder': (_, res) =>
      json(res, { type: 'urn:ietf:params:acme:error:rateLimited', detail: 'too many\norders\u0007' }, 429, {
        'Retry-After': '3600',
      }),
  })
  expect(await failure(limited)).toEqual({ kind: 'refused', message: 'order: too manyorders', retryAfterMs: 3_600_000 })
  const invalid = await authority({
    '/challenge': (req, res) =>
      json(res, {
        status: 'invalid',
        error: { type: 'x', detail: 'connection refused' },
        url: `http://${req.headers.host}/challenge`,
      }),
  })
  expect(await failure(invalid)).toEqual({
    kind: 'refused',
    message: 'http-01: connection refused',
    retryAfterMs: null,
  })
})

test('one that says nothing is given up with the process', async () => {
  const silent = await authority({ '/dir': () => {} })
  const controller = new AbortController()
  setTimeout(() => controller.abort(), 1000)
  expect(await failure(silent, controller.signal)).toEqual({
    kind: 'unreachable',
    message: 'given up',
    retryAfterMs: null,
  })
})
