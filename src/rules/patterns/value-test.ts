/**
 * Tests of a single value (a method, a header, a query parameter, a cookie, an address): present, absent, equal to one of a list,
 * starting with or containing a string, within a network.
 */
import { z } from 'zod'
import { checked, object } from '../values/schema-blocks.ts'
import { isWithin, type Network, networkHas } from './address.ts'

/** A compiled test of one value. */
export type ValueTest =
  | { readonly is: 'present' }
  | { readonly is: 'absent' }
  | { readonly is: 'anyOf'; readonly values: readonly string[] }
  | { readonly is: 'startsWith'; readonly text: string }
  | { readonly is: 'contains'; readonly text: string }
  /** Of an address: it lies in one of them. */
  | { readonly is: 'within'; readonly networks: readonly Network[] }

const text = z.string()
const values = checked(z.array(text).min(1), (list) =>
  new Set(list).size === list.length ? null : { message: 'duplicate value' },
)
/** Every value starts with the empty string: it would be a second way to write `true`. */
const part = checked(text, (value) =>
  value === '' ? { message: 'must not be empty', hint: 'write true to match any value' } : null,
)

/** `true`: present; `false`: absent; a string: equal to it; a list: equal to one of them; or an object with one such key. */
export const valueTestSchema = z
  .union([
    z.boolean(),
    text,
    values,
    checked(
      object({
        equals: text.optional(),
        anyOf: values.optional(),
        startsWith: part.optional(),
        contains: part.optional(),
      }),
      (test) =>
        Object.keys(test).length === 1
          ? null
          : { message: 'expected exactly one of equals, anyOf, startsWith, contains' },
    ),
  ])
  .meta({ id: 'ValueTest' })

/** Compiles what `valueTestSchema` has accepted. */
export function parseValueTest(argument: z.output<typeof valueTestSchema>): ValueTest {
  if (typeof argument === 'boolean') return { is: argument ? 'present' : 'absent' }
  if (typeof argument === 'string') return { is: 'anyOf', values: [argument] }
  if (Array.isArray(argument)) return { is: 'anyOf', values: argument }
  if (argument.startsWith !== undefined) return { is: 'startsWith', text: argument.startsWith }
  if (argument.contains !== undefined) return { is: 'contains', text: argument.contains }
  return { is: 'anyOf', values: argument.anyOf ?? [argument.equals as string] }
}

/** Whether a value passes; undefined is absent. Comparison is exact and case-sensitive. */
export function valuePasses(test: ValueTest, value: string | undefined): boolean {
  switch (test.is) {
    case 'present':
      return value !== undefined
    case 'absent':
      return value === undefined
    case 'anyOf':
      return value !== undefined && test.values.includes(value)
    case 'startsWith':
      return value?.startsWith(test.text) ?? false
    case 'contains':
      return value?.includes(test.text) ?? false
    case 'within':
      return value !== undefined && test.networks.some((network) => networkHas(network, value))
  }
}

/** Whether one value can pass both tests. */
export function canBothPass(a: ValueTest, b: ValueTest): boolean {
  if (a.is === 'absent' || b.is === 'absent') return a.is === b.is
  if (a.is === 'anyOf' && b.is === 'anyOf') {
    const known = new Set(b.values)
    return a.values.some((value) => known.has(value))
  }
  if (a.is === 'anyOf') return a.values.some((value) => valuePasses(b, value))
  if (b.is === 'anyOf') return b.values.some((value) => valuePasses(a, value))
  if (a.is === 'startsWith' && b.is === 'startsWith') return a.text.startsWith(b.text) || b.text.startsWith(a.text)
  if (a.is === 'within' && b.is === 'within') {
    return a.networks.some((one) => b.networks.some((other) => isWithin(one, other) || isWithin(other, one)))
  }
  return true
}

/** Whether every value that passes `test` passes `wider` too. */
export function implies(test: ValueTest, wider: ValueTest): boolean {
  switch (wider.is) {
    case 'present':
      return test.is !== 'absent'
    case 'absent':
      return test.is === 'absent'
    case 'within':
      return test.is === 'within' && test.networks.every((one) => wider.networks.some((other) => isWithin(one, other)))
  }
  if (test.is === 'anyOf') return test.values.every((value) => valuePasses(wider, value))
  if (wider.is === 'anyOf') return false
  if (test.is === 'startsWith') return valuePasses(wider, test.text)
  return test.is === 'contains' && wider.is === 'contains' && test.text.includes(wider.text)
}

/** A test as text, after "must be". */
export function sayTest(test: ValueTest): string {
  switch (test.is) {
    case 'present':
    case 'absent':
      return test.is
    case 'anyOf':
      return test.values.map(quote).join(' or ')
    case 'startsWith':
      return `a string starting with ${quote(test.text)}`
    case 'contains':
      return `a string containing ${quote(test.text)}`
    case 'within':
      return `in ${test.networks.map(({ text }) => text).join(' or ')}`
  }
}

/** A value as text, after "is". */
export function sayValue(value: string | undefined): string {
  return value === undefined ? 'absent' : quote(value)
}

function quote(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value)
}
