/**
 * The description of one operation in the OpenAPI document, and shared parts.
 */
import { z } from 'zod'
import { dryRunAnswer } from './api-schemas.ts'

/** One operation, short of what all of them have. */
export interface Operation {
  /** Its name in generated clients. */
  readonly id: string
  readonly method: 'get' | 'post' | 'put' | 'patch' | 'delete'
  readonly path: string
  readonly summary: string
  readonly body?: Body
  /** By status; a media type stands for a text, null for no body. */
  readonly answers: Readonly<Record<number, z.ZodType | string | null>>
  /** Asks for a token with write scope, takes If-Match, dryRun and force. */
  readonly edits?: boolean
  /** Takes a reason, though it is no edit. */
  readonly reasoned?: boolean
  /** Further parameters of the query, each with what it says. */
  readonly query?: Readonly<Record<string, string>>
  /** Needs no token. */
  readonly open?: boolean
}

export interface Body {
  readonly types: readonly string[]
  readonly schema: z.ZodType
  readonly optional?: boolean
}

export const JSON_TYPE = 'application/json'
export const YAML_TYPE = 'application/yaml'

/** For writes that need no body. */
export const nothing: Body = { types: [JSON_TYPE], schema: z.strictObject({}), optional: true }

/** A write that may also be a dry run. */
export const written = (answer: z.ZodType): z.ZodType => z.union([answer, dryRunAnswer])
