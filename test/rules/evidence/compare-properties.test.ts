/**
 * What holds for every comparison: equal answers have no differences, nothing makes it throw or take long, a fault is found
 * where it was planted and nowhere else, and the sides can be swapped.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compare } from '../../../src/rules/evidence/compare.ts'
import { answer, compareJson, found, html, SETTINGS } from './make.ts'

const TYPES = [
  'application/json',
  'text/html',
  'text/xml; charset=iso-8859-1',
  'text/plain; charset=utf-16',
  'image/png',
  '',
]
const anyType = fc.oneof(fc.constantFrom(...TYPES), fc.string())
const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.json().map((json) => new TextEncoder().encode(json)),
  // Nearly JSON: one byte of it is another one.
  fc.tuple(fc.json(), fc.nat(), fc.nat(255)).map(([json, at, byte]) => {
    const bytes = new TextEncoder().encode(json)
    bytes[at % bytes.length] = byte
    return bytes
  }),
)
const anyAnswer = fc
  .tuple(anyBytes, anyType, fc.constantFrom(200, 404), fc.option(fc.string()))
  .map(([body, type, status, cookie]) =>
    answer(body, { status, headers: ['Content-Type', type, ...(cookie === null ? [] : ['Set-Cookie', cookie])] }),
  )
const anySettings = fc.record({
  headers: fc.constant(SETTINGS.headers),
  ignore: fc.array(fc.oneof(fc.constantFrom('status', '', '/*', '/a'), fc.string()), { maxLength: 2 }),
  unordered: fc.array(fc.constantFrom('', '/*', '/*/*'), { maxLength: 2 }),
  tolerance: fc.constantFrom(0, 0.01),
  redact: fc.array(fc.constantFrom('', '/*', '/a'), { maxLength: 2 }),
})

describe('any two answers', () => {
  test('an answer does not differ from itself, written in another way', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 6 }), anySettings, (value, settings) => {
        const [plain, indented] = [JSON.stringify(value), JSON.stringify(value, null, 3)]
        expect(compare(answer(plain), answer(` ${indented}\n`), settings).differences).toEqual([])
      }),
    )
    fc.assert(
      fc.property(anyAnswer, anySettings, (one, settings) => {
        const copy = { ...one, body: new Uint8Array(one.body as Uint8Array) }
        expect(compare(one, copy, settings).differences).toEqual([])
      }),
    )
  })

  test('a comparison never throws, is bounded, and mirrored with the sides swapped', () => {
    const mirror: Record<string, string> = { missing: 'extra', extra: 'missing' }
    fc.assert(
      fc.property(anyAnswer, anyAnswer, anySettings, (from, to, settings) => {
        const one = compare(from, to, settings)
        const other = compare(to, from, settings)
        expect(found(other)).toEqual(one.differences.map(({ path, kind }) => `${mirror[kind] ?? kind} ${path}`).sort())
        expect(other.bodyCompared).toBe(one.bodyCompared)
        for (const difference of one.differences) {
          expect(difference.from?.length ?? 0).toBeLessThanOrEqual(100)
          expect(difference.to?.length ?? 0).toBeLessThanOrEqual(100)
          expect(difference.path.length).toBeLessThanOrEqual(256)
        }
      }),
      { numRuns: 1_000 },
    )
  })
})

type Value = null | boolean | number | string | Value[] | { [key: string]: Value }
const isObject = (value: Value): value is { [key: string]: Value } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const key = fc.constantFrom('id', 'price', 'items', 'name', 'a/b', 'x~y', '12345', 'straße')
const { document } = fc.letrec<{ document: Value }>((tie) => ({
  document: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.oneof(fc.constant(null), fc.boolean(), fc.integer(), fc.string({ maxLength: 5 })),
    fc.array(tie('document'), { maxLength: 6 }),
    fc.dictionary(key, tie('document'), { maxKeys: 6, noNullPrototype: true }),
  ) as fc.Arbitrary<Value>,
}))

/** All places of a document: the folded path and how to put something else there. */
function placesOf(
  value: Value,
  path: string,
  put: (other: Value) => void,
): { path: string; value: Value; put(other: Value): void }[] {
  const below = Array.isArray(value)
    ? value.flatMap((one, i) => placesOf(one, `${path}/*`, (other) => (value[i] = other)))
    : isObject(value)
      ? Object.entries(value).flatMap(([name, one]) => {
          const folded = name === '12345' ? '*' : name.replaceAll('~', '~0').replaceAll('/', '~1')
          return placesOf(one, `${path}/${folded}`, (other) => (value[name] = other))
        })
      : []
  return [{ path, value, put }, ...below]
}

/** Each fault gives the kind that it must be found as, or null where it can't be planted in such a value. */
const FAULTS: Record<string, (value: Value, put: (other: Value) => void) => string | null> = {
  value(value, put) {
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') return null
    put(typeof value === 'string' ? `${value}!` : typeof value === 'number' ? value + 0.5 : !value)
    return 'value'
  },
  type(value, put) {
    put(typeof value === 'string' ? 0 : String(value))
    return 'type'
  },
  order(value, put) {
    if (!Array.isArray(value) || JSON.stringify(value[0]) === JSON.stringify(value.at(-1))) return null
    put(value.toReversed())
    const isSame = JSON.stringify(value) === JSON.stringify(value.toReversed())
    return isSame ? null : 'order'
  },
  length(value, put) {
    if (!Array.isArray(value) || value.length === 0) return null
    put(value.slice(1))
    return 'length'
  },
}

describe('a fault planted at any place of any document', () => {
  const plant = (fault: string) =>
    fc.assert(
      fc.property(document, fc.nat(), (value, at) => {
        const root = { value: structuredClone(value) }
        const places = placesOf(root.value, '', (other) => (root.value = other))
        const place = places[at % places.length]!
        const kind = FAULTS[fault]!(place.value, place.put)
        fc.pre(kind !== null)
        expect(found(compareJson(JSON.stringify(value), JSON.stringify(root.value)))).toEqual([`${kind} ${place.path}`])
      }),
      { numRuns: 500 },
    )

  test.each(Object.keys(FAULTS))('%s', plant)

  test('missing and extra', () => {
    fc.assert(
      fc.property(document, fc.nat(), (value, at) => {
        const changed = structuredClone(value)
        const objects = placesOf(changed, '', () => undefined).filter((place) => isObject(place.value))
        fc.pre(objects.length > 0)
        const place = objects[at % objects.length]!
        ;(place.value as { [key: string]: Value }).new = null
        const [old, young] = [JSON.stringify(value), JSON.stringify(changed)]
        expect(found(compareJson(old, young))).toEqual([`extra ${place.path}/new`])
        expect(found(compareJson(young, old))).toEqual([`missing ${place.path}/new`])
      }),
      { numRuns: 500 },
    )
  })
})

test('what is redacted is shown nowhere, whatever it is compared with', () => {
  const secrets: Value[] = ['canary', 700700700700, ['canary'], { price: 'canary', id: [700700700700] }]
  const wrapped = (value: Value): Value => ({ root: value })
  fc.assert(
    fc.property(document, document, fc.nat(), fc.constantFrom(...secrets), (value, other, at, secret) => {
      const root = { value: wrapped(structuredClone(value)) }
      const places = placesOf(root.value, '', (changed) => (root.value = changed))
      const place = places[at % places.length]!
      place.put(secret)
      const [hidden, plain] = [JSON.stringify(root.value), JSON.stringify(wrapped(value))]
      const settings = { redact: [place.path] }
      for (const one of [plain, JSON.stringify(other), '{', '']) {
        for (const pair of [[hidden, one] as const, [one, hidden] as const]) {
          const { differences, note } = compareJson(...pair, settings)
          const shown = differences.map(({ from, to }) => `${from} ${to}`).join()
          expect(`${shown} ${note}`).not.toMatch(/canary|700700700700/)
        }
      }
    }),
    { numRuns: 500 },
  )
})

describe('hostile bodies', () => {
  const nested = (depth: number, inner: string): string => '['.repeat(depth) + inner + ']'.repeat(depth)
  const members = (count: number, value: (i: number) => unknown): string =>
    JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, value(i)])))
  const list = (count: number, value: (i: number) => unknown): string =>
    JSON.stringify(Array.from({ length: count }, (_, i) => value(i)))
  const bodies: [string, string, string][] = [
    ['brackets that open', '['.repeat(100_000), '['.repeat(100_001)],
    ['lists in lists', nested(100_000, '1'), nested(100_000, '2')],
    [
      'as deep as it is read, and wide',
      nested(
        199,
        list(10_000, (i) => i),
      ),
      nested(
        199,
        list(10_000, (i) => -i),
      ),
    ],
    ['objects in objects', '{"a":'.repeat(100_000), `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`],
    ['many keys', members(20_000, (i) => i), members(20_000, (i) => -i)],
    ['many other keys', members(20_000, (i) => i), members(20_000, (i) => i).replaceAll('k', 'q')],
    ['the same key', `{${'"a":1,'.repeat(20_000)}"b":1}`, `{${'"a":1,'.repeat(20_000)}"b":2}`],
    ['a list in reverse', list(20_000, (i) => i), list(20_000, (i) => 19_999 - i)],
    ['lists with nothing in common', list(20_000, (i) => i), list(20_000, (i) => -i - 1)],
    ['objects that share a value', list(5_000, (i) => ({ c: 1, x: i })), list(5_000, (i) => ({ c: 1, x: -i }))],
    ['a number with many digits', `1${'0'.repeat(100_000)}1`, `1${'0'.repeat(100_000)}2`],
    ['a number with many digits behind the point', `0.${'0'.repeat(100_000)}1`, `0.${'0'.repeat(100_000)}2`],
    ['an exponent with many digits', `1e${'9'.repeat(100_000)}`, `1e-${'9'.repeat(100_000)}`],
    ['an exponent with many zeros', `1e${'0'.repeat(100_000)}1`, `1e${'0'.repeat(100_000)}2`],
    ['a string that does not end', `"${'x'.repeat(100_000)}`, `"${'x'.repeat(100_001)}`],
    ['backslashes', `"${'\\'.repeat(100_000)}"`, `"${'\\'.repeat(100_001)}"`],
    ['escapes', `"${'\\u0000'.repeat(20_000)}"`, `"${'\\ud800'.repeat(20_000)}"`],
    ['white space', ' '.repeat(100_000), '\n'.repeat(100_000)],
    ['spaces before brackets', `${' '.repeat(100_000)}<`, `${' <'.repeat(50_000)}x`],
  ]

  test.each(bodies)('%s', (name, from, to) => {
    for (const type of ['application/json', 'text/html', 'image/png']) {
      for (const unordered of [[], ['', '/*', '/*/*']]) {
        const settings = { ...SETTINGS, unordered, tolerance: unordered.length / 1_000 }
        const { differences } = compare(html(from, type), html(to, type), settings)
        // Nothing differs but white space in a text, or the order where it does not count.
        if (from.trim() !== '' && !(name === 'a list in reverse' && unordered.length > 0)) {
          expect(differences.length, type).toBeGreaterThan(0)
        }
        expect(compare(html(from, type), html(`${from} `, type), settings).differences.length).toBeLessThan(2)
      }
    }
  })

  test('as many elements as are read, and more', () => {
    expect(
      compareJson(
        list(199_999, () => 1),
        list(199_999, () => 2),
        { unordered: [''] },
      ),
    ).toEqual({
      differences: [{ path: '/*', kind: 'value', from: '1', to: '2' }],
      bodyCompared: true,
      isCut: false,
      note: null,
    })
    const more = compareJson(
      list(200_001, () => []),
      list(200_001, () => ({})),
    )
    expect([found(more), more.note]).toEqual([['value '], 'body is too large'])
  })

  test('header fields', () => {
    const type = (text: string) => html('{}', `application/json${text.repeat(20_000)}`)
    for (const text of [' ', ';', '; ', '/', '+', ';charset=', '"', '\\', '=']) {
      expect(compare(type(text), html('[]'), SETTINGS).differences.length).toBeGreaterThan(0)
    }
  })
})
