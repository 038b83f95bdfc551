/**
 * Syntax errors of a text: the first mistake in it, at its place and in the operator's words. A parser goes on after an error and
 * reports what follows from it too; one mistake is told as one error.
 */
import { parsePattern } from '../patterns/path.ts'
import { invisibleIn, nameOf } from './stray.ts'

/** An error of the YAML parser. */
export interface SyntaxError {
  readonly code: string
  readonly message: string
  readonly offset: number
}

/** A piece of the text as the lexer sees it. */
export interface Lexeme {
  readonly offset: number
  readonly source: string
  /** Text without quotes. */
  readonly plain: boolean
}

/** A mistake, and the right form if it is known. */
export interface Mistake {
  readonly offset: number
  readonly message: string
  readonly hint?: string | undefined
  /** Whether it is a value that starts at the offset. */
  readonly isValue?: boolean
}

/** Emitted by the lexer before a text without quotes. */
export const SCALAR_MARK = '\x1f'

/** What the lexer emits for the parser alone. */
const MARKS = /^[\x02\x18\x1f]$/

/** Emitted by the lexer where a flow collection ends by its indentation. */
const FLOW_ERROR_END = '\x18'

/** Longer lines and words are not examined for what was meant. */
const MAX_EXAMINED = 1000

const CLOSERS: Readonly<Record<string, string>> = { '{': '}', '[': ']' }

/**
 * The first mistake of a text.
 * @param error the parser's first error
 * @param keys all keys that a table may have
 */
export function firstMistake(
  text: string,
  error: SyntaxError,
  lexemes: readonly Lexeme[],
  keys: ReadonlySet<string>,
): Mistake {
  const before = lexemes.filter(({ offset }) => offset <= error.offset)
  return (
    carriageReturn(text) ??
    tab(text, error) ??
    invisible(text, error) ??
    quote(text, error, before, lexemes) ??
    dash(text, error, keys) ??
    listItem(text, error) ??
    keyAndValue(text, error, keys) ??
    gluedBracket(text, before, lexemes) ??
    comma(before, lexemes, keys) ??
    bracket(text, error, lexemes) ??
    commaAfter(text, error, lexemes) ??
    startCharacter(text, error) ??
    flowWords(text, error) ??
    indentation(text, error, linesInBrackets(lexemes)) ??
    parserWords(text, error)
  )
}

/** A word that starts with a character that YAML reserves, in quotes. */
export function quotesMistake(text: string, offset: number): Mistake {
  const word = /^[^\s,\]}]*/.exec(text.slice(offset, offset + 200))?.[0] ?? ''
  return { offset, message: `text that starts with ${text[offset]} needs quotes`, hint: `write "${word}"` }
}

/** A line end that YAML does not have. */
function carriageReturn(text: string): Mistake | null {
  const offset = text.indexOf('\r')
  if (offset === -1 || text.includes('\n')) return null
  return { offset, message: 'a carriage return alone is no line end', hint: 'save the file with LF or CRLF line ends' }
}

/** A tab in the indentation, or behind a dash. */
function tab(text: string, { code, offset }: SyntaxError): Mistake | null {
  const line = lineAt(text, offset)
  const found = /^[ -]*\t/.exec(line.text)?.[0]
  if (found === undefined) return null
  // In brackets a tab is white space like any other.
  if (code !== 'TAB_AS_INDENT' && !/^ *\t+ *-?\s*[\w"']+:/.test(line.text)) return null
  const place = line.start + found.length - 1
  if (found.includes('-')) return { offset: place, message: 'a tab after -', hint: 'write a space' }
  return { offset: place, message: 'a tab in the indentation', hint: 'indent with spaces' }
}

/** In the line of the error or the one before it, outside quotes and comments. */
function invisible(text: string, { offset }: SyntaxError): Mistake | null {
  const line = lineAt(text, offset)
  for (const { start, text: content } of [line, lineAt(text, line.start - 1)]) {
    const bare = content
      .slice(0, MAX_EXAMINED)
      .replace(/"(?:[^"\\]|\\.)*"|'[^']*'/g, (quoted) => 'x'.repeat(quoted.length))
      .replace(/ #.*$/, '')
    const found = invisibleIn(bare, 0, bare.length)
    if (found === null) continue
    const offset = start + found.offset
    if (bare.slice(0, found.offset).trim() !== '') return { ...found, offset }
    const message = `a ${nameOf(text[offset] as string)} in the indentation`
    return { offset, message, hint: 'indent with spaces' }
  }
  return null
}

/** `-id: a`, `-http://127.0.0.1:4001` or `-{ id: a }`: an item of a list without the space. */
function dash(text: string, { offset }: SyntaxError, keys: ReadonlySet<string>): Mistake | null {
  const line = lineAt(text, offset)
  for (const { start, text: content } of [line, nextLine(text, line), lineAt(text, line.start - 1)]) {
    if (content.length > MAX_EXAMINED) continue
    const [, indent = '', item = ''] = /^(\s*)-([^\s-].*?)\s*(?: #.*)?$/.exec(content) ?? []
    const key = /^[\w-]+(?=:)/.exec(item)?.[0]
    const isItem = key === undefined ? /^(?:[{["'/*&A-Za-z])/.test(item) : keys.has(key) || /^https?$/.test(key)
    if (!isItem) continue
    const hint = item.length > 80 ? 'write a space behind it' : `write - ${item}`
    return { offset: start + indent.length, message: 'missing space after -', hint }
  }
  return null
}

/** A text on a line of its own, below a key without a value or below an item. */
function listItem(text: string, { code, offset }: SyntaxError): Mistake | null {
  if (code !== 'BAD_INDENT' && code !== 'MISSING_CHAR') return null
  const { start, text: content } = lineAt(text, offset)
  const word = /^\s*(https?:\/\/\S+|\/\S*|[A-Z]+|[\w*-]+(?:\.[\w-]+)+)\s*(?: #.*)?$/.exec(content)?.[1]
  const above = lineAt(text, start - 1).text
  if (
    word === undefined ||
    start === 0 ||
    !/^\s*(?:- +)?[\w-]+:\s*(?:#.*)?$|^\s*- +[^\s:]+(?::\/\/\S*)?\s*(?:#.*)?$/.test(above)
  )
    return null
  return { offset: start + content.search(/\S/), message: 'expected a list item', hint: `write - ${word}` }
}

/** A quote without its closing one, which takes in all text up to the next quote; or one inside a text in quotes. */
function quote(
  text: string,
  error: SyntaxError,
  before: readonly Lexeme[],
  lexemes: readonly Lexeme[],
): Mistake | null {
  for (const [at, { offset, source, plain }] of before.entries()) {
    const mark = source[0]
    if (plain || (mark !== '"' && mark !== "'")) continue
    const end = offset + source.length
    const next = lexemes[at + 1]?.source === SCALAR_MARK ? lexemes[at + 2] : undefined
    if (next?.offset === end && source.length > 1 && !source.includes('\n')) {
      const inside = mark === '"' ? '\\"' : "''"
      return {
        offset: end - 1,
        message: `text after the closing ${mark}`,
        hint: `a quote inside quotes is written ${inside}`,
      }
    }
    const isOpen = source.length < 2 || !source.endsWith(mark)
    const swallows = source.includes('\n') && lineAt(text, end).start === lineAt(text, error.offset).start
    if (!isOpen && !swallows) continue
    const inner = /^[^\s,\]}#]*/.exec(source.slice(1))?.[0] ?? ''
    return {
      offset,
      message: `missing closing ${mark}`,
      hint: inner === '' ? undefined : `write ${mark}${inner}${mark}`,
    }
  }
  return null
}

/** `/users/{id}` in a flow collection, where the bracket starts a map, and `[0-9]+` anywhere. */
function gluedBracket(text: string, before: readonly Lexeme[], lexemes: readonly Lexeme[]): Mistake | null {
  const open: Lexeme[] = []
  for (const [at, lexeme] of before.entries()) {
    const { offset, source, plain } = lexeme
    const following = lexemes[at + 1]
    const next = following?.source === SCALAR_MARK ? lexemes[at + 2] : following
    const isGlued = next?.offset === offset + source.length
    if (plain) {
      if (open.length > 0 && isGlued && !next.plain && next.source in CLOSERS)
        return bracketed(wordAt(text, offset), offset)
    } else if (source in CLOSERS) {
      open.push(lexeme)
    } else if (source === '}' || source === ']') {
      const opener = open.pop()
      if (!isGlued || !next.plain || opener === undefined) continue
      if (text[next.offset] === ';') return { offset: next.offset, message: 'unexpected ;', hint: 'remove it' }
      const rest = /^[^\s,\]}]*/.exec(next.source)?.[0] ?? ''
      return bracketed(text.slice(opener.offset, next.offset) + rest, opener.offset)
    }
  }
  return null
}

/** What is wrong with a text that has brackets and no quotes. */
function bracketed(word: string, offset: number): Mistake {
  if (/^[\^~]?\//.test(word)) {
    const flaw = parsePattern(word)
    if ('message' in flaw) return { offset, message: flaw.message, hint: flaw.hint, isValue: true }
  }
  const hint = word.length > 80 ? undefined : `write "${word}"`
  return { offset, message: 'text with brackets needs quotes', hint, isValue: true }
}

/** A word with all the brackets that are opened in it. */
function wordAt(text: string, offset: number): string {
  let depth = 0
  let end = offset
  for (; end < text.length && end < offset + 200; end++) {
    const character = text[end] as string
    if (/\s/.test(character)) break
    if ('{['.includes(character)) depth++
    else if ('}]'.includes(character) && --depth < 0) break
    else if (character === ',' && depth === 0) break
  }
  return text.slice(offset, end)
}

/** `{ path: /a methods: [GET] }`, or in JSON a number without its comma. */
function comma(before: readonly Lexeme[], lexemes: readonly Lexeme[], keys: ReadonlySet<string>): Mistake | null {
  for (const [at, { offset, source, plain }] of before.entries()) {
    if (!plain || lexemes[at + 1]?.source !== ':' || source.length > MAX_EXAMINED) continue
    const [, mark = '', key] = /^[^\s-].*\s(["']?)([\w-]+)\1$/s.exec(source) ?? []
    if (key === undefined || !keys.has(key) || (mark === '' && source.includes('\n'))) continue
    const word = `${mark}${key}${mark}`
    const value = source.slice(0, -word.length).trimEnd()
    return {
      offset: offset + source.length - word.length,
      message: `missing comma before ${key}`,
      hint: `write ${value}, ${word}`,
    }
  }
  return null
}

/** In brackets: a text in quotes or a bracket, and behind it another value with no comma between. */
function commaAfter(text: string, error: SyntaxError, lexemes: readonly Lexeme[]): Mistake | null {
  const end = lineAt(text, error.offset)
  const open: { readonly isMap: boolean; hasColon: boolean }[] = []
  let last: Lexeme | null = null
  for (const lexeme of lexemes) {
    const { offset, source, plain } = lexeme
    if (offset > end.start + end.text.length) return null
    const isText = plain || /^["']/.test(source)
    if (!isText && (/^\s*$/.test(source) || source.startsWith('#') || MARKS.test(source))) continue
    const isOpener = !plain && source in CLOSERS
    const isCloser = !plain && (source === '}' || source === ']')
    const isBehind = last !== null && (/^[}\]]$/.test(last.source) ? isText || isOpener : isText)
    const level = open.at(-1)
    if (level !== undefined && isBehind && last !== null) {
      if (level.isMap && !level.hasColon)
        return {
          offset,
          message: `missing colon behind ${cutText(last.source)}`,
          hint: `write ${cutText(last.source)}: ...`,
        }
      const lineEnd = text.slice(last.offset + last.source.length, offset).includes('\n')
      const hint = lineEnd
        ? 'end the line above with a comma'
        : `write ${cutText(last.source)}, ${source.split(/[\s,]/, 1)[0]}`
      return { offset, message: 'missing comma', hint }
    }
    if (isOpener) open.push({ isMap: source === '{', hasColon: false })
    if (isCloser) open.pop()
    if (!plain && level !== undefined && (source === ':' || source === ',')) level.hasColon = source === ':'
    last = isCloser || (isText && !plain) ? lexeme : null
  }
  return null
}

/** A text for a hint: of a long one, its last character. */
function cutText(text: string): string {
  return text.length > 40 ? text.slice(-1) : text
}

/** A bracket that is not closed, or closed by another one, or closes nothing. */
function bracket(text: string, error: SyntaxError, lexemes: readonly Lexeme[]): Mistake | null {
  const open: Lexeme[] = []
  for (const lexeme of lexemes) {
    const { offset, source, plain } = lexeme
    const top = open.at(-1)
    if (top !== undefined && top.offset > error.offset) return null
    if (plain) continue
    if (source === FLOW_ERROR_END && top !== undefined) return unclosed(text, top, offset)
    if (source in CLOSERS) open.push(lexeme)
    if (source !== '}' && source !== ']') continue
    if (top === undefined)
      return offset > error.offset ? null : { offset, message: `unexpected ${source}: no bracket is open` }
    if (CLOSERS[top.source] !== source) return unclosed(text, top, offset)
    open.pop()
  }
  const last = open.at(-1)
  return last === undefined || last.offset > error.offset ? null : unclosed(text, last, text.length)
}

function unclosed(text: string, { offset, source }: Lexeme, trouble: number): Mistake {
  const closer = CLOSERS[source] as string
  const inner = text.slice(offset, trouble).trimEnd()
  const space = source === '{' ? ' ' : ''
  const hint =
    inner.includes('\n') || inner.length > 80 || inner === source ? undefined : `write ${inner}${space}${closer}`
  return { offset, message: `missing closing ${closer}`, hint }
}

/** A character that a text without quotes can't start with, or an escape that double quotes don't have. */
function startCharacter(text: string, { code, offset }: SyntaxError): Mistake | null {
  if (code === 'BAD_ALIAS' || code === 'BAD_SCALAR_START') return quotesMistake(text, offset)
  if (code !== 'BAD_DQ_ESCAPE') return null
  const start = text.lastIndexOf('"', offset)
  const scalar = /^"((?:[^"\\\n]|\\.)*)"/.exec(text.slice(start, start + 200))?.[1]
  const hint = scalar === undefined || scalar.includes("'") ? 'use single quotes' : `use single quotes: '${scalar}'`
  return { offset, message: `invalid escape ${text.slice(offset, offset + 2)} in double quotes`, hint }
}

/** A line without the colon, or without the space behind it, or with one colon too many. */
function keyAndValue(text: string, { offset }: SyntaxError, keys: ReadonlySet<string>): Mistake | null {
  const line = lineAt(text, offset)
  for (const { start, text: content } of [line, nextLine(text, line), lineAt(text, line.start - 1)]) {
    if (content.length > MAX_EXAMINED) continue
    const found = /^(\s*(?:- +)*)([A-Za-z_][\w-]*)(.*?)\s*(?: #.*)?$/.exec(content)
    if (found === null) continue
    const [, indent = '', key = '', rest = ''] = found
    const at = start + indent.length
    if (!keys.has(key)) continue
    const glued = /^:([^\s:/].*|\/(?!\/).*)$/.exec(rest)?.[1]
    // `- query:q` is a sticky key.
    if (glued !== undefined && !(key === 'query' && indent.includes('-'))) {
      return { offset: at + key.length + 1, message: `missing space after ${key}:`, hint: `write ${key}: ${glued}` }
    }
    const value = /^\s*=>?\s*([^\s>].*)$|^\s+([^\s:].*)$/.exec(rest)
    if (value !== null && !/^[^{[]*:(\s|$)/.test(rest)) {
      return { offset: at, message: `expected a colon after ${key}`, hint: `write ${key}: ${value[1] ?? value[2]}` }
    }
    const twice = /^:\s+([^\s{["'|>&*!][^#]*?):(?:\s+(.*))?$/.exec(rest)
    if (twice !== null) {
      const [, first = '', second = ''] = twice
      const place = at + key.length + rest.indexOf(`${first}:`) + first.length
      const hint = `a value with a colon and a space needs quotes: ${key}: "${`${first}: ${second}`.trim()}"`
      return { offset: place, message: `unexpected colon in the value of ${key}`, hint }
    }
    if (rest === '') return { offset: at, message: `expected a colon after ${key}`, hint: `write ${key}:` }
  }
  return null
}

/** An open block collection. */
interface Level {
  readonly column: number
  /** From 1. */
  readonly line: number
  /** Whether the last entry has its value on its line, so that nothing can be below it. */
  closed: boolean
  /** Where the last entry is a word and nothing else. */
  word: { readonly offset: number; readonly text: string } | null
}

/** A line that stands neither beside nor below what it belongs to. */
function indentation(text: string, { offset }: SyntaxError, inBrackets: ReadonlySet<number>): Mistake | null {
  const last = lineAt(text, offset).start
  const levels: Level[] = []
  let number = 0
  let start = 0
  for (const whole of text.split('\n')) {
    const content = whole.replace(/\r$/, '')
    number++
    const at = start
    start += whole.length + 1
    if (content.length > MAX_EXAMINED || /^\s*(?:#.*|---.*|%.*)?$/.test(content)) continue
    if (inBrackets.has(at) && at < last) continue
    const column = content.search(/\S/)
    const left: Level[] = []
    while ((levels.at(-1)?.column ?? -1) > column) left.push(levels.pop() as Level)
    const top = levels.at(-1)
    if (top !== undefined && top.column < column && (left.length > 0 || top.closed)) {
      if (left.length === 0 && top.word !== null) {
        const { offset: place, text: word } = top.word
        return { offset: place, message: `expected a colon after ${word}`, hint: `write ${word}:` }
      }
      const near = [...left, top].reduce((a, b) => (Math.abs(b.column - column) < Math.abs(a.column - column) ? b : a))
      const said = `wrong indentation: ${column} ${column === 1 ? 'space' : 'spaces'}, expected ${near.column} as on line ${near.line}`
      return { offset: at + column, message: said }
    }
    // The line after the one where the parser noticed may be the one that is wrong.
    if (at > last) return null
    push(levels, content, number, at)
  }
  return null
}

/** The starts of the lines that begin between brackets, where indentation does not count, or within quotes. */
function linesInBrackets(lexemes: readonly Lexeme[]): ReadonlySet<number> {
  const starts = new Set<number>()
  let depth = 0
  for (const { offset, source, plain } of lexemes) {
    if (!plain && source in CLOSERS) depth++
    if (!plain && (source === '}' || source === ']')) depth = Math.max(0, depth - 1)
    if (source === FLOW_ERROR_END) depth = 0
    if (depth === 0 && !/^["']/.test(source)) continue
    for (let at = source.indexOf('\n'); at !== -1; at = source.indexOf('\n', at + 1)) starts.add(offset + at + 1)
  }
  return starts
}

function push(levels: Level[], content: string, line: number, start: number): void {
  let rest = content
  for (;;) {
    const column = content.length - rest.trimStart().length
    const isItem = /^\s*-(?:\s|$)/.test(rest)
    const closed = !isItem && !/:\s*(?:[|>&][^#]*)?(?:#.*)?$/.test(rest)
    const name = /^\s*([A-Za-z_][\w.-]*)(?:\s*=)?\s*(?:#.*)?$/.exec(rest)?.[1]
    const word = name === undefined ? null : { offset: start + column, text: name }
    const top = levels.at(-1)
    if (top?.column === column) Object.assign(top, { closed, word })
    else levels.push({ column, line, closed, word })
    if (!isItem) return
    rest = rest.replace(/^\s*-\s*/, '')
    if (rest === '') return
  }
}

/** What is wrong between brackets, where indentation does not count. */
function flowWords(text: string, { code, message, offset }: SyntaxError): Mistake | null {
  if (/Missing ,/.test(message)) return { offset, message: 'missing comma' }
  if (/Unexpected ,/.test(message)) return { offset, message: 'unexpected comma' }
  if (code === 'NON_STRING_KEY' && /^\{?\{/.test(text.slice(offset - 1, offset + 1)))
    return { offset, message: 'templates are not expanded in a table' }
  return null
}

/** What the parser says, where nothing is known that says it better. */
function parserWords(text: string, { code, message, offset }: SyntaxError): Mistake {
  if (/without - indicator/.test(message)) return { offset, message: 'expected a list item', hint: 'start it with - ' }
  if (code === 'BLOCK_AS_IMPLICIT_KEY') return { offset, message: 'a key can not follow another one on its line' }
  if (code === 'MULTILINE_IMPLICIT_KEY') return { offset, message: 'expected KEY: VALUE on one line' }
  if (/followed by map values/.test(message)) return { offset, message: 'expected KEY: VALUE' }
  if (/Comments must be separated/.test(message)) return { offset, message: 'expected a space before #' }
  if (code === 'MULTIPLE_DOCS')
    return { offset, message: 'expected a single document, found another', hint: 'remove the line ---' }
  if (code === 'NON_STRING_KEY') return { offset, message: 'keys must be strings' }
  if (code === 'BAD_INDENT') return { offset, message: 'wrong indentation' }
  const token = text[offset]
  if (code === 'UNEXPECTED_TOKEN' && token !== undefined && /\S/.test(token))
    return { offset, message: `unexpected ${JSON.stringify(/^\S{1,20}/.exec(text.slice(offset))?.[0])}` }
  return { offset, message: message.charAt(0).toLowerCase() + message.slice(1) }
}

interface Line {
  readonly start: number
  readonly text: string
}

function lineAt(text: string, offset: number): Line {
  const start = text.lastIndexOf('\n', Math.max(0, offset) - 1) + 1
  const end = text.indexOf('\n', start)
  return { start, text: text.slice(start, end === -1 ? undefined : end).replace(/\r$/, '') }
}

function nextLine(text: string, { start, text: content }: Line): Line {
  const end = text.indexOf('\n', start + content.length)
  return end === -1 ? { start: text.length, text: '' } : lineAt(text, end + 1)
}
