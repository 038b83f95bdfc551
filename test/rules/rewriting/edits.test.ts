/**
 * Placeholders, fields and parameters that the table sets: nothing of a client's breaks out of its place.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { editedFields } from '../../../src/rules/http/field-edits.ts'
import { compileFieldEdits, editsFor, flawOfFieldText, mergedEdits } from '../../../src/rules/rewriting/field-edits.ts'
import { type Known, parseTemplate } from '../../../src/rules/rewriting/placeholders.ts'
import { compileQueryEdits, rewriteQuery } from '../../../src/rules/rewriting/query.ts'
import { view } from '../make.ts'

function known(values: { gtin?: string; host?: string; address?: string; id?: string; route?: string } = {}): Known {
  const { gtin = '12', host = 'shop.test', address = '192.0.2.1', id = 'abc-1', route = 'lookup' } = values
  return {
    view: view('/', { host, clientAddress: address }),
    matched: { route: { id: route, params: ['gtin'] }, params: [gtin] },
    id,
  }
}

const ALL = '{client.ip} {request.id} {route} {side} {host} {param.gtin}'
const set = (text: string, of = known()) =>
  editsFor(compileFieldEdits({ set: { 'x-all': text } }, ['gtin']), of, 'to').added[1]

describe('headers', () => {
  test('each placeholder stands for its value', () => {
    expect(set(ALL)).toBe('192.0.2.1 abc-1 lookup to shop.test 12')
    expect(set('a{{b}} {param.gtin}é', known({ gtin: 'é /1' }))).toBe(`a{b} %C3%A9%20%2F1\xc3\xa9`)
  })

  test('no value of a client breaks a line, or begins another value', () => {
    const text = fc.string({ unit: 'binary' })
    fc.assert(
      fc.property(text, text, text, (gtin, host, id) => {
        const said = set(`{host}|{request.id}|{param.gtin}`, known({ gtin, host, id })) as string
        expect(said).toMatch(/^[\x21-\x7e]*$/)
        expect(set('{param.gtin}', known({ gtin }))).toMatch(/^[A-Za-z0-9%!'()*._~-]*$/)
      }),
    )
  })

  test('what is set takes the place of all that came under the name, in any spelling; what is removed goes', () => {
    const edits = compileFieldEdits({ set: { 'X-Tenant': 'shop' }, remove: ['x-old'] }, null)
    const fields = ['x-tenant', 'evil', 'A', '1', 'X_Tenant', 'evil', 'X-OLD', '2', 'x.old', '3', 'B', '4']
    expect(editedFields(fields, editsFor(edits, known(), null))).toEqual(['A', '1', 'B', '4', 'X-Tenant', 'shop'])
  })

  test('a text without placeholders is the same object for every request', () => {
    const edits = compileFieldEdits({ set: { a: 'b' } }, null)
    expect(editsFor(edits, known(), null)).toBe(editsFor(edits, known({ gtin: '9' }), 'to'))
  })

  test('the route has the last word', () => {
    const upstream = compileFieldEdits({ set: { a: '1', b: '1' }, remove: ['c', 'd'] }, null)
    const route = compileFieldEdits({ set: { A: '2', c: '2' }, remove: ['b'] }, [])
    const { drops, added } = editsFor(mergedEdits(upstream, route), known(), 'to')
    expect(added).toEqual(['A', '2', 'c', '2'])
    expect([...drops].sort()).toEqual(['a', 'b', 'c', 'd'])
  })

  test.each([
    ['{client_ip}', 'unknown placeholder {client_ip}', 'write {client.ip}'],
    ['{gtin}', 'unknown placeholder {gtin}', 'write {param.gtin}'],
    ['{param.gtn}', 'unknown parameter {param.gtn}', 'known: {param.gtin}'],
    ['a { b', 'a brace is not closed', 'write {{ for a literal {'],
    ['a\r\nb', 'a header must not include control characters', undefined],
    [' a', 'a header must not begin or end with white space', undefined],
  ])('%j is refused', (text, message, hint) => {
    const flaw = flawOfFieldText(text, ['gtin'])
    expect(flaw?.message).toBe(message)
    expect(flaw?.hint ?? '').toContain(hint ?? '')
  })

  test('an upstream knows no parameters', () => {
    expect(parseTemplate('{param.gtin}', null)).toMatchObject({ message: '{param.gtin} is known in routes only' })
  })
})

describe('the query', () => {
  const rewrite = (said: Parameters<typeof compileQueryEdits>[0], target: string, of = known()) =>
    rewriteQuery(compileQueryEdits(said, ['gtin']), target, of, 'to')

  test.each([
    [{ set: { store: '{param.gtin}' }, remove: ['callback'] }, '/a?b=%20c&callback=x&d', '/a?b=%20c&d&store=12'],
    [{ remove: ['callback'] }, '/a?callback=x', '/a'],
    [{ remove: ['callback'] }, '/a?c%61llback=x&b', '/a?b'],
    [{ set: { store: 'a b&c' } }, '/a?store=1&store=2', '/a?store=a+b%26c'],
    [{ set: { 'a b': '1' } }, '/a', '/a?a+b=1'],
    [{ set: { a: '1' } }, '/a?b#f', '/a?b&a=1#f'],
  ])('%j: %s becomes %s', (said, target, sent) => {
    expect(rewrite(said, target)).toBe(sent)
  })

  test('a value is one value, and reads as it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (gtin) => {
        const sent = rewrite({ set: { q: '{param.gtin}' } }, '/a?b=1', known({ gtin }))
        expect(sent).toMatch(/^\/a\?b=1&q=[A-Za-z0-9%*+._-]*$/)
        expect(new URLSearchParams(sent.slice(3)).get('q')).toBe(gtin.toWellFormed())
      }),
    )
  })
})
