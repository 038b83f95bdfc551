/**
 * The request body of POST /explain.
 */
import { z } from 'zod'
import { isUrl, viewOf } from '../rules/explain.ts'
import type { RequestView } from '../rules/http/exchange.ts'
import { readPeer } from '../rules/patterns/address.ts'
import { object, TOKEN } from '../rules/values/schema-blocks.ts'
import { parseBody } from './http/body-schema.ts'

/** What a description leaves out. */
export interface ExplainDefaults {
  readonly clientAddress: string
  /** In [0, 1). */
  readonly chance: number
}

const MAX_URL_LENGTH = 65_536
const EXPECTED_FIELDS = 'expected an object, or a list of [name, value] pairs'
const EXPECTED_URL = 'expected a path or an http URL without spaces'
const EXPECTED_CHANCE = 'expected a number from 0 to below 1'
const EXPECTED_ADDRESS = 'expected an IP address'
const EXPECTED_METHOD = 'expected a method such as GET'

const value = { type: 'string' }
const FIELDS_SCHEMA = {
  oneOf: [
    { type: 'object', additionalProperties: { oneOf: [value, { type: 'array', items: value }] } },
    { type: 'array', items: { type: 'array', items: value, minItems: 2, maxItems: 2 } },
  ],
}

/** The schema of the body; it validates, and the OpenAPI document is made from it. */
export const explainBody = object({
  url: z
    .string({ error: EXPECTED_URL })
    .max(MAX_URL_LENGTH, { error: EXPECTED_URL })
    .refine(isUrl, { error: EXPECTED_URL })
    .describe('A path with query, or an http URL. Taken byte for byte; the fragment is dropped.'),
  method: z
    .string({ error: EXPECTED_METHOD })
    .refine((text) => TOKEN.test(text), { error: EXPECTED_METHOD })
    .optional()
    .describe('Default GET.'),
  headers: z
    .unknown()
    .superRefine(checkFields)
    .meta(FIELDS_SCHEMA)
    .optional()
    .describe('Names to values or lists of values, or [name, value] pairs. Host overrides the host of the URL.'),
  clientAddress: z
    .string({ error: EXPECTED_ADDRESS })
    .refine((text) => readPeer(text) !== null, { error: EXPECTED_ADDRESS })
    .optional()
    .describe('Default: the address of the caller.'),
  chance: z
    .number({ error: EXPECTED_CHANCE })
    .min(0, { error: EXPECTED_CHANCE })
    .lt(1, { error: EXPECTED_CHANCE })
    .optional()
    .describe('Random draw for routes without a sticky key, from 0 to below 1. Default: random.'),
})

/**
 * Reads the description of a request.
 * @throws {AdminProblem} invalid: with every error and its JSON pointer
 */
export function readRequest(body: unknown, defaults: ExplainDefaults): RequestView {
  const { url, method = 'GET', headers = [], clientAddress, chance } = parseBody(explainBody, body)
  return viewOf({
    url,
    method,
    headers: fieldsOf(headers as object).flatMap(({ name, text }) => [name as string, text as string]),
    clientAddress: clientAddress ?? defaults.clientAddress,
    chance: chance ?? defaults.chance,
  })
}

function checkFields(headers: unknown, context: z.RefinementCtx): void {
  const fail = (path: readonly (string | number)[], message: string): void =>
    context.addIssue({ code: 'custom', message, path: [...path] })
  if (headers === undefined) return
  if (typeof headers !== 'object' || headers === null) {
    fail([], EXPECTED_FIELDS)
    return
  }
  for (const { path, name, text } of fieldsOf(headers)) {
    if (typeof name !== 'string' || !TOKEN.test(name)) fail(path, 'expected a header name')
    else if (typeof text !== 'string' || /[\0\r\n]/.test(text)) fail(path, 'expected a header value')
  }
}

/** Each field with where it stands, none of them checked. A name in an object may have a list of values. */
function fieldsOf(headers: object): { path: (string | number)[]; name: unknown; text: unknown }[] {
  if (Array.isArray(headers)) {
    return headers.map((pair, at) => {
      const [name, text] = Array.isArray(pair) && pair.length === 2 ? pair : []
      return { path: [at], name, text }
    })
  }
  return Object.entries(headers).flatMap(([name, said]) =>
    (Array.isArray(said) ? said : [said]).map((text: unknown) => ({ path: [name], name, text })),
  )
}
