/**
 * Problems of a text: location, formatting and suggestions.
 */
import { UNPRINTABLE } from './unprintable.ts'

/** An error or warning about a table. */
export interface Problem {
  /** The file name as given by the operator. */
  readonly file: string
  /** From 1. */
  readonly line: number
  /** From 1, in UTF-16 code units. */
  readonly column: number
  /** JSON Pointer (RFC 6901) to the value; '' is the whole document. */
  readonly pointer: string
  /** The message, in lower case, without a full stop. */
  readonly message: string
  /** What to write instead, if known. */
  readonly hint?: string
  /** An `error` keeps the table from taking effect. */
  readonly severity: 'error' | 'warning'
}

/** Maximum number of reported problems per text or body; the rest is counted. */
export const MAX_PROBLEMS = 100

/** The problems of a text, in its order. */
export interface Problems {
  /** At most `MAX_PROBLEMS`; errors before warnings where there are more. */
  readonly problems: readonly Problem[]
  /** The number of further problems. */
  readonly more: number
}

/** The errors of these problems. Where warnings are listed, all errors are. */
export function errorsOf({ problems, more }: Problems): Problems {
  const errors = problems.filter(({ severity }) => severity === 'error')
  return { problems: errors, more: errors.length < problems.length ? 0 : more }
}

/** `and 3900 more`. */
export function andMore(more: number): string {
  return `and ${more} more`
}

/** A problem without a position in a text yet. */
export interface Finding {
  /** The keys and indexes that lead to the value. */
  readonly path: readonly (string | number)[]
  readonly message: string
  /** An expensive hint is a function, called only for reported problems. */
  readonly hint?: string | (() => string | undefined) | undefined
  readonly severity: 'error' | 'warning'
  /** What to point at: the value (default), the key, or the map that lacks it. */
  readonly at?: 'value' | 'key' | 'parent'
}

/** One line: ``routes.yaml:7:31: routes.0.match.host: unknown key (did you mean `hosts`?)``. */
export function formatProblem(problem: Problem): string {
  const { file, line, column, message, hint, severity } = problem
  const words = [`${file}:${line}:${column}:`]
  if (severity === 'warning') words.push('warning:')
  if (problem.pointer !== '') words.push(`${dotted(problem.pointer)}:`)
  words.push(message)
  if (hint !== undefined) words.push(`(${hint})`)
  return printable(words.join(' '))
}

/** `a`, `a or b`, `a, b or c`. */
export function anyOf(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

/** The problems, each with its line of `text` and a caret below its column. Ends with a newline if not empty. */
export function formatProblems(problems: readonly Problem[], text: string, more = 0): string {
  const lines = linesOf(text)
  const told = problems.map((problem) => `${formatProblem(problem)}\n${excerpt(problem, lines)}`)
  return `${told.join('')}${more > 0 ? `${andMore(more)}\n` : ''}`
}

/** `2 errors, 1 warning, and 3 more`; '' if there are none. */
export function countsText({ problems, more }: Problems): string {
  const errors = problems.filter(({ severity }) => severity === 'error').length
  const counts: [number, string][] = [
    [errors, 'error'],
    [problems.length - errors, 'warning'],
  ]
  const words = counts.filter(([n]) => n > 0).map(([n, word]) => `${n} ${word}${n === 1 ? '' : 's'}`)
  return [...words, ...(more > 0 ? [andMore(more)] : [])].join(', ')
}

/** Longest part of a source line that is shown; in JSON style one line may contain the whole table. */
const EXCERPT_LENGTH = 160

/** The lines of a text, for excerpts. */
export function linesOf(text: string): string[] {
  return text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)
}

/** The line of a problem, with a caret below its column. */
export function excerpt(problem: Problem, lines: readonly string[]): string {
  const line = lines[problem.line - 1]
  if (line === undefined) return ''
  const cut = Math.max(0, problem.column - 1 - EXCERPT_LENGTH / 2)
  const end = cut + EXCERPT_LENGTH
  // The caret is far from both ends of what is cut.
  const shown = `${cut > 0 ? '…' : ''}${line.slice(cut > 0 ? cut + 1 : 0, end)}${end < line.length ? '…' : ''}`
  const source = printable(shown)
  const margin = `${problem.line} | `
  return `  ${margin}${source}\n  ${' '.repeat(margin.length + Math.max(0, problem.column - 1 - cut))}^\n`
}

/** Replaces what a terminal would act on, one column per code unit. */
function printable(text: string): string {
  return text.replace(UNPRINTABLE, ' ').replace(/[\t\n]/g, ' ')
}

/** `/routes/0/match` -> `routes.0.match`. */
function dotted(pointer: string): string {
  return pointer
    .slice(1)
    .split('/')
    .map((key) => printable(key.replaceAll('~1', '/').replaceAll('~0', '~')))
    .join('.')
}

/** The JSON Pointer (RFC 6901) of a path. */
export function pointerOf(path: readonly (string | number)[]): string {
  return path.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

/** ``did you mean `hosts`?``, or undefined if no known word is similar. */
export function didYouMean(word: string, known: Iterable<string>): string | undefined {
  const nearest = nearestWord(word, known)
  return nearest === undefined ? undefined : `did you mean \`${nearest}\`?`
}

/** Longest list of known names in a hint. */
const MAX_LISTED = 8

/** What a name that is not known may stand for: the nearest one, those that it is a part of, or the names that there are. */
export function nameHint(name: string, known: Iterable<string>): string | undefined {
  const names = [...known]
  const near = didYouMean(name, names)
  if (near !== undefined) return near
  const part = name.toLowerCase()
  const whole = names.filter((one) => part !== '' && one.toLowerCase().includes(part))
  const [only] = whole
  if (only !== undefined && whole.length === 1) return `did you mean \`${only}\`?`
  const listed = whole.length > 0 ? whole : names
  return listed.length === 0 || listed.length > MAX_LISTED ? undefined : `must be ${anyOf(listed)}`
}

/** Maximum number of character comparisons per search: enough for some thousand words. */
const MAX_COMPARED = 500_000

/**
 * The known word that differs least, within one typo in three letters, or undefined. Of very many known words only
 * the first are searched.
 */
export function nearestWord(word: string, known: Iterable<string>): string | undefined {
  let compared = 0
  const lower = word.toLowerCase().slice(0, 100)
  let best: string | undefined
  // One typo in three letters, and at least one.
  let bestDistance = Math.max(1, Math.floor(lower.length / 3)) + 1
  for (const candidate of known) {
    if (++compared > MAX_COMPARED) break
    if (Math.abs(candidate.length - lower.length) >= bestDistance) continue
    compared += lower.length * candidate.length
    const distance = editDistance(lower, candidate.toLowerCase())
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, replacements and transpositions. */
export function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      let least = Math.min((previous[j] as number) + 1, (row[j - 1] as number) + 1, (previous[j - 1] as number) + same)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, (beforePrevious[j - 2] as number) + 1)
      }
      row.push(least)
    }
    beforePrevious = previous
    previous = row
  }
  return previous[b.length] as number
}
