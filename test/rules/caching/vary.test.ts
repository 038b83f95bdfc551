/**
 * Vary (RFC 9111 section 4.1): the fields named, and when two requests select the same variant.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { varyKey, varySpec } from '../../../src/rules/caching/vary.ts'
import { fieldValues } from '../../../src/rules/http/exchange.ts'
import { raw } from './make.ts'

describe('the fields named', () => {
  test.each([
    [[], []],
    [['Vary:'], []],
    [['Vary: Foo'], ['foo']],
    [
      ['Vary: Foo, bar', 'vary: BAZ,foo'],
      ['bar', 'baz', 'foo'],
    ],
    [['Vary: , Foo ,,'], ['foo']],
    [['Vary: *'], null],
    [['Vary: Foo, *'], null],
    [['Vary: Foo', 'Vary: *'], null],
    [['Vary: Foo;bar'], null],
    [['Vary: "Foo"'], null],
  ])('%j', (lines, spec) => expect(varySpec(raw(...lines))).toEqual(spec))
})

const keyOf = (fields: readonly string[], spec: readonly string[]) => varyKey((name) => fieldValues(fields, name), spec)
const same = (name: string, a: string[], b: string[]) => keyOf(raw(...a), [name]) === keyOf(raw(...b), [name])

describe('the same variant', () => {
  test.each([
    ['foo', ['Foo: 1'], ['foo:  1 ']],
    ['foo', ['Foo: 1', 'Foo: 2'], ['foo: 1, 2']],
    ['foo', ['Bar: 1'], ['Baz: 2']],
    // RFC 9110 section 5.6.1: white space around the members of a list.
    ['foo', ['Foo: 1,2'], ['Foo: 1 ,\t2']],
    ['accept-language', ['Accept-Language: en,de'], ['Accept-Language: en , de']],
    ['foo', ['Foo: "a, b",c'], ['Foo: "a, b" , c']],
  ])('%s: %j and %j', (name, a, b) => expect(same(name, a, b)).toBe(true))
})

describe('another variant', () => {
  test.each([
    ['accept-encoding', ['Accept-Encoding: gzip, br'], ['Accept-Encoding: BR ,gzip']],
    ['accept-encoding', ['Accept-Encoding: gzip;q=1.0, br'], ['Accept-Encoding: br', 'Accept-Encoding: gzip']],
    ['accept-encoding', ['Accept-Encoding: gzip; q=0.50'], ['Accept-Encoding: gzip;Q=.5'.replace('.5', '0.5')]],
    ['accept-language', ['Accept-Language: en,de;q=0.5'], ['Accept-Language: DE;q=0.5, EN']],
    ['accept-language', ['Accept-Language: en-GB , de'], ['accept-language: en-gb,de']],
    ['accept-language', ['Accept-Language: en, de'], ['Accept-Language: de, en']],
    ['foo', ['Foo: a\xa0'], ['Foo: a']],
    ['foo', ['Foo: \xc9'], ['Foo: \xe9']],
    ['foo', ['Foo: en,\xa0,'], ['Foo: en,,']],
    ['cookie', ['Cookie: a=1', 'Cookie: b=2'], ['Cookie: a=1, b=2']],
    ['foo', ['Foo: 1'], []],
    ['foo', ['Foo:'], []],
    ['foo', ['Foo: a'], ['Foo: A']],
    ['foo', ['Foo: 1, 2'], ['Foo: 2, 1']],
    ['foo', ['Foo: "1,2"'], ['Foo: "1, 2"']],
    ['foo', ['Foo: "1,2'], ['Foo: "1, 2']],
    ['foo', ['Foo: "1\\",2"'], ['Foo: "1\\", 2"']],
    ['cookie', ['Cookie: a=1,2'], ['Cookie: a=1, 2']],
    ['authorization', ['Authorization: a,b'], ['Authorization: a, b']],
    ['accept-encoding', ['Accept-Encoding: gzip'], ['Accept-Encoding: gzip;q=0']],
    ['accept-encoding', ['Accept-Encoding:'], []],
    ['accept-language', ['Accept-Language: en, de;q=0.5'], ['Accept-Language: de, en;q=0.5']],
    ['accept-language', ['Accept-Language: en;q=x'], ['Accept-Language: en']],
    ['user-agent', ['User-Agent: a'], ['User-Agent: b']],
  ])('%s: %j and %j', (name, a, b) => expect(same(name, a, b)).toBe(false))

  test('a value never reads as two fields', () => {
    const value = fc.string().filter((text) => !/[\r\n,]/.test(text) && text.trim() === text)
    fc.assert(
      fc.property(value, value, value, value, (a, b, c, d) => {
        const one = keyOf(['A', a, 'B', b], ['a', 'b'])
        const two = keyOf(['A', c, 'B', d], ['a', 'b'])
        expect(one === two).toBe(a === c && b === d)
      }),
    )
  })
})
