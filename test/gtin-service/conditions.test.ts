/**
 * Conditional requests per RFC 9110 section 13, over real sockets and as pure comparison.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { holdsTag } from '../../gtin-service/conditions.ts'
import { represent } from '../../gtin-service/product.ts'
import { ask, SEED, serve } from './raw.ts'

const TARGET = '/stores/3/gtins/123456789012'

test('a client that has the answer gets 304 with its tag and freshness, and no body', async () => {
  const { port } = await serve()
  const tag = (await ask(port, 'GET', TARGET)).headers.etag as string
  const matching = [tag, `W/${tag}`, '*', `"x", ${tag}`, `"a,b" ,W/"c",,${tag}`]
  for (const value of matching) {
    for (const method of ['GET', 'HEAD']) {
      const answer = await ask(port, method, TARGET, [`If-None-Match: ${value}`])
      expect(answer).toMatchObject({ status: 304, body: '' })
      expect(Object.keys(answer.headers).sort()).toEqual(['cache-control', 'connection', 'date', 'etag'])
      expect(answer.headers).toMatchObject({ etag: tag, 'cache-control': 'public, max-age=60' })
    }
  }
  const onTwoLines = await ask(port, 'GET', TARGET, ['If-None-Match: "x"', `IF-NONE-MATCH: ${tag}`])
  expect(onTwoLines.status).toBe(304)
})

test('a client that has something else gets the whole answer', async () => {
  const { port } = await serve()
  const tag = (await ask(port, 'GET', TARGET)).headers.etag as string
  for (const value of ['"x"', tag.slice(1, -1), `"x" y ${tag}`, `w/${tag}`, '']) {
    expect((await ask(port, 'GET', TARGET, [`If-None-Match: ${value}`])).status).toBe(200)
  }
})

test('If-Match compares strongly, and is asked before If-None-Match', async () => {
  const { port } = await serve()
  const tag = (await ask(port, 'GET', TARGET)).headers.etag as string
  const statusOf = async (...fields: string[]) => (await ask(port, 'GET', TARGET, fields)).status
  expect(await statusOf(`If-Match: ${tag}`)).toBe(200)
  expect(await statusOf('If-Match: *')).toBe(200)
  expect(await statusOf(`If-Match: W/${tag}`)).toBe(412)
  expect(await statusOf('If-Match: "x"', `If-None-Match: ${tag}`)).toBe(412)
  expect(await statusOf(`If-Match: ${tag}`, `If-None-Match: ${tag}`)).toBe(304)
})

test('conditions play no part where the answer is no product', async () => {
  const { port } = await serve()
  expect((await ask(port, 'GET', '/stores/3/gtins/1', ['If-None-Match: *'])).status).toBe(404)
  expect((await ask(port, 'GET', '/stores/health/gtins/check', ['If-None-Match: *'])).status).toBe(200)
  expect((await ask(port, 'GET', '/x', ['If-Match: "x"'])).status).toBe(404)
})

test('the tag is of the bytes: the same in another instance of that name, another under another name', async () => {
  const tagOf = async (name: string) => (await ask((await serve({ name })).port, 'GET', TARGET)).headers.etag
  expect(await tagOf('a')).toBe(await tagOf('a'))
  expect(await tagOf('a')).not.toBe(await tagOf('b'))
})

test('a tag is found in any list that holds it, and in none that does not', () => {
  const opaque = fc.stringMatching(/^[!#-~]{0,12}$/)
  const member = fc.tuple(fc.boolean(), opaque).map(([weak, text]) => `${weak ? 'W/' : ''}"${text}"`)
  const separator = fc.constantFrom(',', ', ', ' , ', ',,')
  fc.assert(
    fc.property(fc.array(member), separator, fc.nat(), (members, between, key) => {
      const { tag } = represent('h', { ...SEED, key }, '')
      const list = members.join(between)
      expect(holdsTag(list, tag, 'weak')).toBe(false)
      expect(holdsTag([...members, tag].join(between), tag, 'strong')).toBe(true)
      expect(holdsTag([`W/${tag}`, ...members].join(between), tag, 'weak')).toBe(true)
      expect(holdsTag([`W/${tag}`, ...members].join(between), tag, 'strong')).toBe(false)
    }),
  )
})

test('no text breaks the comparison', () => {
  fc.assert(fc.property(fc.string(), (list) => holdsTag(list, '"x"', 'weak') || true))
})

test('the tag changes with whatever changes the bytes, and with nothing else', () => {
  const text = fc.oneof(fc.string({ maxLength: 12 }), fc.stringMatching(/^[0-9]{0,20}$/))
  const cents = fc.oneof(fc.nat(300), fc.maxSafeNat())
  const price = fc.record({ store: fc.nat(3).map(String), regularRetail: cents, specialRetail: cents })
  const product = fc.record({
    key: fc.oneof(fc.constant(SEED.key), fc.nat(99_999_999_999_999)),
    sku: text,
    size1: text,
    size2: text,
    style: text,
    originalRetail: cents,
    recommendRetail: cents,
    subdivision: text,
    class: text,
    subclass: text,
    description: text,
    color: text,
    supplier: text,
    prices: fc.uniqueArray(price, { selector: ({ store }) => store, maxLength: 3 }),
  })
  const field = fc.constantFrom(...(Object.keys(SEED) as (keyof typeof SEED)[]))
  const store = fc.nat(3).map(String)
  fc.assert(
    fc.property(
      product,
      product,
      field,
      store,
      store,
      fc.constantFrom('h', 'i'),
      (one, two, name, asked, other, host) => {
        const a = represent('h', one, asked)
        for (const b of [
          represent(host, one, asked),
          represent('h', one, other),
          represent('h', { ...one, [name]: two[name] }, asked),
          represent('h', two, asked),
          represent('h', { ...one, size1: one.size2, size2: one.size1 }, asked),
        ]) {
          expect(a.tag === b.tag, `${a.body} ${b.body}`).toBe(a.body === b.body)
        }
        expect(JSON.parse(a.body)).toMatchObject({ sku: one.sku, description: one.description, color: one.color })
        expect(a.body).toBe(JSON.stringify(JSON.parse(a.body)))
      },
    ),
    { numRuns: 1_000 },
  )
})
