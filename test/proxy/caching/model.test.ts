/**
 * Whatever a client gets is what the upstream made for exactly the request that is sent for it: random hosts, targets, fields,
 * cookies, duplicates, odd bytes and Vary, against an upstream that tells what it got. `BANYAN_MODEL_SECONDS` runs it longer.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Rig, reply, startRig } from './rig.ts'

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
)
const request = fc.tuple(target, host, fc.array(line, { maxLength: 3 }))
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

function script(rig: Rig, vary: readonly string[], names: readonly string[], lang: boolean): void {
  rig.legacy.handler = (got) => {
    const fields = ['Cache-Control: max-age=60', ...(vary.length === 0 ? [] : [`Vary: ${vary.join(', ')}`])]
    void got.send(reply(200, fields, answerOf(got.fields, got.target, names, lang)))
  }
}

test('each client gets what the upstream made for the request that is sent for it', {
  timeout: 60_000 + SECONDS * 2000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async ({ trusted, vary, cache, requests, atOnce }) => {
      const rig = await startRig({ trusted, cache, headers: '30s' })
      // The reference: the same proxy where nothing is ever stored or shared, since each request forbids it.
      const names = counted(vary, cache)
      script(rig, vary, names, cache.includes('lang]') && !vary.includes('Cookie'))
      const ask = async ([to, name, lines]: (typeof requests)[number], ...more: string[]) =>
        (await rig.get(to, name, ...lines, ...more)).body.text
      const wanted: string[] = []
      for (const one of requests) wanted.push(await ask(one, 'Cache-Control: no-store'))
      const got: string[] = []
      if (atOnce) got.push(...(await Promise.all(requests.map((one) => ask(one)))))
      else for (const one of requests) got.push(await ask(one))
      for (const one of requests) got.push(await ask(one))
      const seen = rig.legacy.requests
      expect(got).toEqual([...wanted, ...wanted])
      expect(seen).toBeLessThanOrEqual(3 * requests.length)
    }),
    SECONDS > 0 ? { interruptAfterTimeLimit: SECONDS * 1000, numRuns: 1_000_000 } : { numRuns: 25 },
  )
})
