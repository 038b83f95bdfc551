/**
 * Whatever a client gets is what the upstream made for exactly the request that is sent for it: random hosts, targets, fields,
 * cookies, duplicates, odd bytes, conditions, ranges and Vary, one after the other and all at once, of one proxy and of two on
 * one Redis, against an upstream that tells what it got. `BANYAN_MODEL_SECONDS` runs it longer.
 */
import { hash } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { RedisStore } from '../../../src/state/redis/store.ts'
import { parseRedisUrl, type RedisAddress } from '../../../src/state/redis/url.ts'
import type { RawResponse } from '../../support/message.ts'
import { startRedis } from '../../support/redis.ts'
import { fieldIn, type Rig, type RigOptions, reply, startRig, until } from './rig.ts'

const redis = await startRedis()
afterAll(() => redis.stop())

const SECONDS = Number(process.env.BANYAN_MODEL_SECONDS ?? 0)

/** What Vary and key may name. */
const READS = ['host', 'x-forwarded-host', 'x-forwarded-proto', 'x-tenant', 'accept-language', 'cookie']

const value = fc.constantFrom(
  'a',
  'A',
  'b',
  'a,b',
  'a , b',
  'b, a',
  'a\xa0',
  '\xc9',
  '\xe9',
  '\xc3\xa9',
  'de;q=0.9,en',
  '',
)
const pair = fc.constantFrom(
  'lang=en',
  'lang=de',
  'lang=en\xa0',
  'lang\xa0=en',
  'LANG=en',
  'sid=1',
  'lang',
  '"lang"=en',
  'x,lang=de',
)
const line = fc.oneof(
  fc.tuple(fc.constantFrom('X-Tenant', 'x-tenant', 'X_Tenant', 'Accept-Language'), value).map((all) => all.join(': ')),
  fc.array(pair, { minLength: 1, maxLength: 3 }).map((pairs) => `Cookie: ${pairs.join('; ')}`),
  fc.constantFrom(
    'Connection: x-tenant',
    'Connection: cookie',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: evil.test',
  ),
)
const host = fc
  .constantFrom('shop.test', 'shop.test', 'SHOP.test', 'shop.test:80', 'shop.test:')
  .map((name) => `Host: ${name}`)
const target = fc.constantFrom(
  '/a',
  '/a?id=1',
  '/a?id=1&x=2',
  '/a?x=2&id=1',
  '/a?id=1;x=2',
  '/a?utm=1',
  '/a?utm=1;x=2',
  '/a?%69d=1',
  '/no-store',
  '/chunked',
  '/long',
)
/** `SAME` is replaced by the entity tag of what the client would get. */
const own = fc.constantFrom(
  [],
  [],
  ['If-None-Match: SAME'],
  ['If-None-Match: "other"'],
  ['Range: bytes=0-3'],
  ['Range: bytes=-2'],
  ['Range: bytes=5-', 'If-Range: SAME'],
  ['Range: bytes=5-', 'If-Range: "other"'],
  ['Range: bytes=9999-'],
)
const request = fc.tuple(target, host, fc.array(line, { maxLength: 3 }), own)
const scenario = fc.record({
  trusted: fc.boolean(),
  vary: fc.subarray(['X-Tenant', 'Accept-Language', 'Cookie', 'X-Forwarded-Proto']),
  cache: fc.constantFrom(
    '{}',
    '{ key: { headers: [x-tenant] } }',
    '{ key: { cookies: [lang] } }',
    '{ key: { query: { keep: [id] } } }',
    '{ key: { anyQueryOrder: true } }',
    '{ normalize: [accept-language] }',
  ),
  requests: fc.array(request, { minLength: 4, maxLength: 24 }),
  atOnce: fc.boolean(),
  shared: fc.boolean(),
})

/** What counts of what the upstream gets; what neither key nor Vary names is the operator's word. */
function counted(vary: readonly string[], cache: string): string[] {
  const named = vary.map((name) => name.toLowerCase())
  if (cache.includes('x-tenant')) named.push('x-tenant')
  const cookies = cache.includes('lang]')
  return READS.filter(
    (name) => /^(?:host|x-forwarded)/.test(name) || named.includes(name) || (cookies && name === 'cookie'),
  )
}

function answerOf(
  fields: readonly (readonly [string, string])[],
  target: string,
  names: readonly string[],
  lang: boolean,
): string {
  const said = names.map((name) => {
    const values = fields.filter(([found]) => found.toLowerCase() === name).map(([, text]) => text)
    if (name === 'cookie') {
      const text = values.join('|')
      return lang
        ? text
            .split(/[;|]/)
            .filter((part) => /lang/i.test(part))
            .map((part) => part.replace(/^ +/, ''))
            .join(';')
        : text
    }
    // RFC 9111 section 4.1: lines combined, white space around commas.
    return `${name}=${values.join(',').replace(/[ \t]*,[ \t]*/g, ',')}#${values.length === 0}`
  })
  return [target, ...said].join(' ')
}

const tagOf = (text: string): string => `"${hash('sha1', text, 'base64url')}"`

const MAX_BODY = 512

/** What the upstream has for a request, and how it gives it. */
function script(rig: Rig, vary: readonly string[], names: readonly string[], lang: boolean): void {
  rig.legacy.handler = (got) => {
    const kind = /^\/[a-z-]+/.exec(got.target)?.[0]
    const said = answerOf(got.fields, got.target, names, lang)
    const text = kind === '/long' ? said.padEnd(MAX_BODY + 100, '.') : said
    const fields = [`Cache-Control: ${kind === '/no-store' ? 'no-store' : 'max-age=60'}`, `ETag: ${tagOf(text)}`]
    if (vary.length > 0) fields.push(`Vary: ${vary.join(', ')}`)
    if (got.field('if-none-match') === tagOf(text)) void got.send(reply(304, fields))
    else if (kind === '/chunked') {
      const head = `HTTP/1.1 200 OK\r\n${fields.map((one) => `${one}\r\n`).join('')}Transfer-Encoding: chunked\r\n\r\n`
      const half = text.length >> 1
      const chunks = [text.slice(0, half), text.slice(half)].map((part) => `${part.length.toString(16)}\r\n${part}\r\n`)
      void got.send(`${head}${chunks.join('')}0\r\n\r\n`)
    } else {
      const range = rangeOf(got.field('range'), got.field('if-range'), text)
      if (range === null) void got.send(reply(200, fields, text))
      else if (range === 'none') void got.send(reply(416, [`Content-Range: bytes */${text.length}`]))
      else {
        const [first, last] = range
        void got.send(
          reply(206, [...fields, `Content-Range: bytes ${first}-${last}/${text.length}`], text.slice(first, last + 1)),
        )
      }
    }
  }
}

function rangeOf(
  range: string | undefined,
  ifRange: string | undefined,
  text: string,
): [first: number, last: number] | 'none' | null {
  const found = /^bytes=(\d*)-(\d*)$/.exec(range ?? '')
  if (found === null || (ifRange !== undefined && ifRange !== tagOf(text))) return null
  const [, from = '', to = ''] = found
  const last = text.length - 1
  if (from === '') return [Math.max(text.length - Number(to), 0), last]
  if (Number(from) > last) return 'none'
  return [Number(from), to === '' ? last : Math.min(Number(to), last)]
}

/** What of a response is right for a request whose whole is `text`: a body of unknown length may come whole. */
function flawOf(response: RawResponse, lines: readonly string[], text: string): string | null {
  const value = (name: string) => lines.find((one) => one.startsWith(`${name}: `))?.slice(name.length + 2)
  const { status, body } = response
  if (value('If-None-Match') === tagOf(text)) return status === 304 ? null : `${status} in place of 304`
  const range = rangeOf(value('Range'), value('If-Range'), text)
  if (status === 200) return body.text === text ? null : `${body.text} in place of ${text}`
  if (range === 'none') return status === 416 ? null : `${status} in place of 416`
  if (status !== 206 || range === null) return `status ${status}: ${body.text}, ${fieldIn(response, 'cache-status')}`
  const [first, last] = range
  const said = fieldIn(response, 'content-range')
  if (said !== `bytes ${first}-${last}/${text.length}`) return `Content-Range: ${said}`
  const part = text.slice(first, last + 1)
  return body.text === part ? null : `${body.text} in place of ${part}`
}

/** A proxy on the Redis of all, which it has reached. */
async function startShared(options: RigOptions, stores: RedisStore[]): Promise<Rig> {
  const store = new RedisStore({
    address: parseRedisUrl(redis.url) as RedisAddress,
    prefix: 'banyan:',
    deadlineMs: 1000,
    chance: Math.random,
    now: () => performance.now(),
    onUnreadable: () => {},
    onFull: () => {},
    onState: () => {},
  })
  stores.push(store)
  const rig = await startRig({ ...options, remote: store })
  await until(() => store.usable)
  return rig
}

test('each client gets what the upstream made for the request that is sent for it', {
  timeout: 60_000 + SECONDS * 2000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async ({ trusted, vary, cache, requests, atOnce, shared }) => {
      const options = {
        trusted,
        cache: cache.replace('{', `{ maxBody: ${MAX_BODY}B,`).replace(', }', ' }'),
        headers: '30s',
      }
      if (shared) await redis.command('FLUSHALL')
      const stores: RedisStore[] = []
      const first = shared ? await startShared(options, stores) : await startRig(options)
      const rigs = [first]
      if (shared) rigs.push(await startShared({ ...options, upstreams: first }, stores))
      const names = counted(vary, cache)
      script(first, vary, names, cache.includes('lang]') && !vary.includes('Cookie'))
      const get = async (rig: Rig, to: string, fields: readonly string[]): Promise<RawResponse> => {
        const client = await rig.begin(to, ...fields)
        const response = await client.nextResponse()
        // Not closed as usual: thousands of ports would wait for a minute.
        client.reset()
        return response
      }
      // The reference: the same proxy where nothing is ever stored or shared, since each request forbids it.
      const texts: string[] = []
      for (const [to, name, lines] of requests) {
        texts.push((await get(first, to, [name, ...lines, 'Cache-Control: no-store'])).body.text)
      }
      const ask = async ([to, name, lines, own]: (typeof requests)[number], i: number): Promise<string | null> => {
        const text = texts[i] as string
        const fields = own.map((one) => one.replace('SAME', tagOf(text)))
        const rig = rigs[i % rigs.length] as Rig
        return flawOf(await get(rig, to, [name, ...lines, ...fields]), fields, text)
      }
      const flaws: (string | null)[] = []
      if (atOnce) flaws.push(...(await Promise.all(requests.map(ask))))
      else for (const [i, one] of requests.entries()) flaws.push(await ask(one, i))
      for (const [i, one] of requests.entries()) flaws.push(await ask(one, i))
      for (const store of stores) await store.close()
      for (const rig of rigs.reverse()) await rig.stop()
      expect(flaws.filter((flaw) => flaw !== null)).toEqual([])
      // The reference, and twice at most one request with and one without the client's own fields.
      expect(first.legacy.requests).toBeLessThanOrEqual(5 * requests.length)
    }),
    SECONDS > 0 ? { interruptAfterTimeLimit: SECONDS * 1000, numRuns: 1_000_000 } : { numRuns: 40 },
  )
})
