/**
 * The webhook and its receivers: one that answers, hangs, fails, redirects or is gone.
 */
import { createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test, vi } from 'vitest'
import { flawOfWebhook } from '../../src/control/webhook/send.ts'
import { MAX_WAITING, Webhook, type WebhookParts } from '../../src/control/webhook/webhook.ts'
import { readSettings } from '../../src/settings/settings.ts'
import { type LogLine, logInto } from './rig.ts'

const SECRET = 'a secret of some length'
const DAY_MS = 86_400_000
const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

interface Received {
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

async function receiver(answer: (response: ServerResponse, n: number) => void) {
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const piece of request) body += piece
    received.push({ headers: request.headers, body })
    answer(response, received.length)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const close = () => void server.close().closeAllConnections()
  ends.push(close)
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`, received, close }
}

function webhookTo(url: string, more: Partial<WebhookParts> = {}) {
  const lines: LogLine[] = []
  const parts = { target: { url, secret: SECRET }, store: null, log: logInto(lines), now: Date.now, chance: () => 0 }
  const webhook = new Webhook({ ...parts, ...more })
  ends.push(() => webhook.close())
  return { webhook, lines }
}

/** Tries again without a pause. */
const IMPATIENT = { chance: () => -1 }

test('a message is signed, so that the receiver can tell who sent it and when', async () => {
  const { url, received } = await receiver((response) => response.writeHead(204).end())
  const { webhook } = webhookTo(url)
  webhook.tell('ramp', { status: 'running' })
  await vi.waitUntil(() => webhook.figures.delivered === 1, { timeout: 120_000 })
  const [{ headers, body }] = received as [Received]
  const [, time, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['banyan-signature'])) ?? []
  expect(mac).toBe(createHmac('sha256', SECRET).update(`${time}.${body}`).digest('hex'))
  expect(Math.abs(Number(time) - Date.now() / 1000)).toBeLessThan(60)
  expect(JSON.parse(body)).toMatchObject({ event: 'ramp', status: 'running', id: headers['banyan-webhook-id'] })
  expect(webhook.figures).toEqual({ waiting: 0, delivered: 1, failed: 0, dropped: 0 })
})

test.each<[string, (response: ServerResponse) => void, string]>([
  ['500', (response) => response.writeHead(500).end(), 'it answered 500'],
  [
    'a redirect, which is not followed',
    (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    'it answered 302',
  ],
  ['nothing, on a broken connection', (response) => response.socket?.destroy(), 'ECONNRESET'],
])('what is answered with %s is sent again, with the same id', async (_, refuse, problem) => {
  const { url, received } = await receiver((response, n) => (n < 3 ? refuse(response) : response.end()))
  const { webhook, lines } = webhookTo(url, IMPATIENT)
  webhook.tell('ramp', {})
  await vi.waitUntil(() => webhook.figures.delivered === 1, { timeout: 120_000 })
  expect(new Set(received.map(({ headers }) => headers['banyan-webhook-id'])).size).toBe(1)
  expect(webhook.figures).toMatchObject({ failed: 2, dropped: 0 })
  expect(lines.map(({ message }) => message)).toEqual([
    `webhook: not delivered, tried again: ${problem}`,
    'webhook: delivered again',
  ])
})

test('a receiver that hangs or endlessly talks is left, and holds up nobody who tells', async () => {
  const { url, received } = await receiver((response, n) => {
    if (n === 2) setInterval(() => response.write('x'.repeat(1000)), 1).unref()
    else if (n > 2) response.end()
  })
  const { webhook, lines } = webhookTo(url)
  for (let n = 0; n < 100; n++) webhook.tell('ramp', { n })
  expect(webhook.figures).toMatchObject({ delivered: 0, failed: 0 })
  await vi.waitUntil(() => webhook.figures.failed === 1, { timeout: 120_000 })
  expect(lines[0]?.message).toBe('webhook: not delivered, tried again: no answer within 5 s')
  await vi.waitUntil(() => webhook.figures.delivered >= 98, { timeout: 120_000 })
  expect(received.length).toBeGreaterThanOrEqual(2)
}, 90_000)

test('a receiver that is gone for a day loses the message; each pause is longer, up to ten minutes', async () => {
  vi.useFakeTimers()
  ends.push(() => vi.useRealTimers())
  const tries: number[] = []
  const send = async () => {
    tries.push(Date.now())
    return 'ECONNREFUSED'
  }
  const { webhook, lines } = webhookTo('http://127.0.0.1:1/', { chance: () => 1, send })
  webhook.tell('ramp', {})
  await vi.advanceTimersByTimeAsync(2 * DAY_MS)
  expect(webhook.figures).toMatchObject({ waiting: 0, dropped: 1, failed: tries.length })
  const pauses = tries.slice(1).map((at, n) => (at - (tries[n] as number)) / 1000)
  expect(pauses.slice(0, 12)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600])
  expect((tries.at(-1) as number) - (tries[0] as number)).toBeLessThan(DAY_MS + 600_000)
  expect(lines.at(-1)?.message).toBe('webhook: a message was dropped: not delivered for a day: ECONNREFUSED')
})

test('no more than so many wait: the oldest goes', async () => {
  const { webhook } = webhookTo('http://127.0.0.1:1/', { send: () => new Promise(() => {}) })
  for (let n = 0; n < MAX_WAITING + 3; n++) webhook.tell('ramp', { n })
  expect(webhook.figures).toMatchObject({ waiting: MAX_WAITING, dropped: 3 })
})

test('what waits survives a restart', async () => {
  const kept = new Map<string, string>()
  const store = {
    list: async () => [...kept].map(([key, value]) => ({ group: 'queue', key, value, version: 1, atMs: 0 })),
    write: async (_: string, __: string, key: string, value: string | null) => {
      if (value === null) kept.delete(key)
      else kept.set(key, value)
      return { kind: 'done' as const, version: 1 }
    },
  }
  const first = webhookTo('http://127.0.0.1:1/', { store, send: async () => 'ECONNREFUSED' })
  first.webhook.tell('ramp', { status: 'done' })
  await vi.waitUntil(() => first.webhook.figures.failed === 1, { timeout: 120_000 })
  first.webhook.close()
  kept.set('torn', '{"bo')
  const { url, received } = await receiver((response) => response.end())
  const second = webhookTo(url, { store })
  await second.webhook.start()
  await vi.waitUntil(() => second.webhook.figures.delivered === 1, { timeout: 120_000 })
  expect(received.map(({ body }) => JSON.parse(body).status)).toEqual(['done'])
  expect([...kept.keys()]).toEqual(['torn'])
})

test.each([
  ['https://hooks.example.test/x', null],
  ['http://localhost:9000/', null],
  ['http://127.0.0.1:9000/', null],
  ['http://[::1]:9000/', null],
  ['http://10.0.0.1/', 'http:// is only for this machine (localhost, 127.0.0.1): use https://'],
  ['http://127.0.0.1.example.test/', 'http:// is only for this machine (localhost, 127.0.0.1): use https://'],
  ['https://a:b@hooks.example.test/', 'the URL must not have a user name or a password'],
  ['ftp://x/', "invalid URL 'ftp://x/': expected https://HOST/PATH"],
  ['hooks', "invalid URL 'hooks': expected https://HOST/PATH"],
])('%s: %s', (url, flaw) => {
  expect(flawOfWebhook(url)).toBe(flaw)
})

test('the settings need both, and a secret of some length', () => {
  const read = (...args: string[]) => readSettings(args, {}).webhook
  const url = 'https://hooks.example.test/'
  expect(read()).toBeNull()
  expect(read('--webhook', url, '--webhook-secret', SECRET)).toEqual({ url, secret: SECRET })
  expect(() => read('--webhook', url)).toThrow('--webhook: needs --webhook-secret')
  expect(() => read('--webhook-secret', SECRET)).toThrow('--webhook-secret: needs --webhook')
  expect(() => read('--webhook', url, '--webhook-secret', 'short')).toThrow('--webhook-secret: too short')
})
