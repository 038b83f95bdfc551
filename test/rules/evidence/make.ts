/**
 * Answers and settings for the tests of the comparison.
 */
import {
  type ComparedAnswer,
  type CompareSettings,
  type Comparison,
  compare,
  DEFAULT_COMPARED_HEADERS,
} from '../../../src/rules/evidence/compare.ts'

export const SETTINGS: CompareSettings = {
  headers: DEFAULT_COMPARED_HEADERS,
  ignore: [],
  unordered: [],
  tolerance: 0,
  redact: [],
}

/** An answer; a text as its body is sent in UTF-8. */
export function answer(
  body: string | Uint8Array | null,
  { status = 200, headers = ['Content-Type', 'application/json'] as readonly string[] } = {},
): ComparedAnswer {
  return { status, rawHeaders: headers, body: typeof body === 'string' ? new TextEncoder().encode(body) : body }
}

export const html = (body: string | Uint8Array, type = 'text/html'): ComparedAnswer =>
  answer(body, { headers: ['Content-Type', type] })

/** Compares two JSON texts. */
export const compareJson = (from: string, to: string, settings: Partial<CompareSettings> = {}): Comparison =>
  compare(answer(from), answer(to), { ...SETTINGS, ...settings })

/** The differences of a comparison as `kind path`, sorted. */
export const found = ({ differences }: Comparison): string[] =>
  differences.map(({ path, kind }) => `${kind} ${path}`).sort()
