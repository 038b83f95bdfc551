/**
 * Parses a text as YAML, with limits on nesting and length: the parser itself would follow ten million brackets until memory runs out.
 */
import {
  Composer,
  type CST,
  type Document,
  isMap,
  isSeq,
  Lexer,
  LineCounter,
  type ParsedNode,
  Parser,
  YAMLParseError,
} from 'yaml'

/** Maximum nesting of collections; a table has fewer than twenty levels. */
const MAX_DEPTH = 500
/** Maximum number of lexemes: ten thousand routes have about 700,000. */
export const MAX_LEXEMES = 2_000_000

/** To find what an alias stands for, the parser looks at all anchors and aliases before it: so many looks at most. */
const MAX_ALIAS_LOOKS = 40_000_000

// Duplicate keys are found elsewhere: yaml's own search is quadratic in the size of a map.
const OPTIONS = { uniqueKeys: false, stringKeys: true, logLevel: 'silent' } as const

/**
 * Parses a text. Throws a RangeError above the limits.
 * @param size counts its lexemes
 * @param keepSourceTokens for an edit
 */
export function parse(
  text: string,
  lines = new LineCounter(),
  size = { lexemes: 0 },
  keepSourceTokens = false,
): Document.Parsed {
  if (!keepSourceTokens) {
    const parsed = parseInParts(text, lines, size)
    if (parsed !== null) return parsed
    lines.lineStarts.length = 0
    size.lexemes = 0
  }
  return composed(tokensOf(text, lines, size), text.length, keepSourceTokens)
}

function composed(tokens: Iterable<CST.Token>, end: number, keepSourceTokens = false): Document.Parsed {
  const [document, another] = new Composer({ ...OPTIONS, keepSourceTokens }).compose(tokens, true, end)
  if (document === undefined) throw new Error('the composer was told to make a document, and made none')
  if (another !== undefined) {
    document.errors.push(new YAMLParseError([another.range[0], another.range[0] + 1], 'MULTIPLE_DOCS', ''))
  }
  return document
}

/**
 * The document of a text without errors or warnings, composed a part of its list at a time: of a large table, tokens take most of the
 * memory, and to keep them all until the end most of the time. Null where something is wrong: what it is, the whole text tells.
 */
function parseInParts(text: string, lines: LineCounter, size: { lexemes: number }): Document.Parsed | null {
  const parts: { readonly offset: number; readonly items: readonly ParsedNode[] }[] = []
  let isSound = true
  const take = (list: CST.BlockSequence, items: CST.BlockSequence['items']): void => {
    const token: CST.Document = { type: 'document', offset: list.offset, start: [], value: { ...list, items } }
    const { contents, errors, warnings } = composed([token], text.length)
    isSound &&= errors.length === 0 && warnings.length === 0 && isSeq(contents)
    if (isSeq<ParsedNode>(contents)) parts.push({ offset: list.offset, items: contents.items })
  }
  const document = composed(tokensOf(text, lines, size, take), text.length)
  if (!isSound || document.errors.length > 0 || document.warnings.length > 0) return null
  const { contents } = document
  if (parts.length === 0) return document
  const at = parts[0]?.offset
  const list = isMap(contents) && contents.items.find(({ value }) => isSeq(value) && value.range?.[0] === at)?.value
  if (!isSeq<ParsedNode>(list) || parts.some(({ offset }) => offset !== at)) return null
  list.items = [...parts.flatMap(({ items }) => items), ...list.items]
  return document
}

/** Entries of a list that are composed at a time. */
const PART = 100
/** The last entries of a list may still get a comment that stands behind them. */
const OPEN = 3

const AMPERSAND = 0x26
const ASTERISK = 0x2a

/** @param take gets the first entries of a list of the outermost map, which are left out of the tokens */
function* tokensOf(
  text: string,
  lines: LineCounter,
  size: { lexemes: number },
  take?: (list: CST.BlockSequence, items: CST.BlockSequence['items']) => void,
): Generator<CST.Token> {
  lines.addNewLine(0)
  const parser = new Parser(lines.addNewLine)
  let marks = 0
  let looks = 0
  for (const lexeme of new Lexer().lex(text)) {
    if (parser.stack.length > MAX_DEPTH) throw new RangeError('nested too deeply')
    if (++size.lexemes > MAX_LEXEMES) throw new RangeError('too large')
    const first = lexeme.charCodeAt(0)
    if (first === AMPERSAND || first === ASTERISK) marks++
    if (first === ASTERISK && (looks += marks) > MAX_ALIAS_LOOKS) throw new RangeError('too many anchors and aliases')
    yield* parser.next(lexeme)
    const list = take && parser.stack[2]
    if (list?.type !== 'block-seq' || list.items.length < PART + OPEN || parser.stack[1]?.type !== 'block-map') continue
    take?.(list, list.items.splice(0, PART))
  }
  yield* parser.end()
}
