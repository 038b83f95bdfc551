/**
 * Building blocks of the table schema: strict objects that list their known keys, and strings with custom checks.
 */
import { z } from 'zod'
import type { Flaw } from './units.ts'

/**
 * An object with these keys and no others. The error for an unknown key lists the known ones, separated by
 * spaces, so that the caller can suggest the one that was meant.
 */
export function object<Shape extends z.ZodRawShape>(shape: Shape): z.ZodObject<Shape, z.core.$strict> {
  const known = Object.keys(shape).join(' ')
  return z.strictObject(shape, { error: (issue) => (issue.code === 'unrecognized_keys' ? known : undefined) })
}

/** A value that `flawOf` accepts. */
export function checked<Value extends z.ZodType>(
  schema: Value,
  flawOf: (value: z.output<Value>) => Flaw | null,
): Value {
  return schema.superRefine((value, context) => {
    const flaw = flawOf(value)
    if (flaw) context.addIssue({ code: 'custom', message: flaw.message, params: { hint: flaw.hint } })
  }) as Value
}

/** A name of an upstream, server, route or group: it appears in metrics, paths and logs. */
export function name(what: string) {
  return checked(z.string().meta({ pattern: NAME.source }), (text) =>
    NAME.test(text)
      ? null
      : {
          message: `invalid ${what}: use letters, digits, . _ and -, starting with a letter or digit, at most 128 characters`,
        },
  )
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

/** A token (RFC 9110 section 5.6.2): a header name, a method. */
export const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
