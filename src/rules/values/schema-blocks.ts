/**
 * The building blocks of the table's schema: strict objects that know their keys, and texts with a check of their own.
 */
import { z } from 'zod'
import type { Flaw } from './units.ts'

/**
 * An object that takes these keys and no others. The message of an unknown key lists the known ones, separated by
 * spaces, so that whoever prints it can say which was meant.
 */
export function object<Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape, z.core.$strict> {
  const known = Object.keys(shape).join(' ')
  return z.strictObject(shape, { error: (issue) => (issue.code === 'unrecognized_keys' ? known : undefined) })
}

/** A value that `flawOf` finds no flaw in. */
export function checked<Value extends z.ZodType>(
  schema: Value,
  flawOf: (value: z.output<Value>) => Flaw | null,
): Value {
  return schema.superRefine((value, context) => {
    const flaw = flawOf(value)
    if (flaw) context.addIssue({ code: 'custom', message: flaw.message, params: { hint: flaw.hint } })
  }) as Value
}

/** A name as upstreams, servers, routes and groups have: it is part of metrics, paths and logs. */
export function name(what: string) {
  return checked(z.string().meta({ pattern: NAME.source }), (text) =>
    NAME.test(text)
      ? null
      : { message: `expected ${what} of letters, digits, . _ and -, beginning with a letter or digit` },
  )
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/** The text of a token (RFC 9110 section 5.6.2): a field name, a method. */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
