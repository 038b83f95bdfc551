/**
 * Parses JSON strictly (RFC 8259) and reports line and column of errors; duplicate names are errors.
 *
 * JSON.parse gives no position for short texts, and of `{"percent": 5, "percent": 50}` it silently takes the last: which
 * percent was meant is not for a parser to choose.
 */
import jsonc from 'jsonc-parser'

/** Invalid JSON. `line` and `column` count from 1; the column in UTF-16 code units. */
export class JsonFault extends Error {
  readonly line: number
  readonly column: number
  /** @param line from 0, as `column` */
  constructor(message: string, line: number, column: number) {
    super(message)
    this.line = line + 1
    this.column = column + 1
  }
}

/** Deeper than any body of the API, and far from the end of the stack. */
const MAX_DEPTH = 64

const BROKEN_STRING = 'unterminated string, invalid escape or control character'
const WORDS: Readonly<Record<ReturnType<typeof jsonc.printParseErrorCode>, string>> = {
  InvalidSymbol: 'expected a value or a name in double quotes',
  InvalidNumberFormat: 'invalid number',
  UnexpectedEndOfNumber: 'invalid number',
  PropertyNameExpected: 'expected a name in double quotes',
  ValueExpected: 'expected a value',
  ColonExpected: "expected ':'",
  CommaExpected: "expected ','",
  CloseBraceExpected: "expected ',' or '}'",
  CloseBracketExpected: "expected ',' or ']'",
  EndOfFileExpected: 'expected end of input',
  InvalidCommentToken: 'expected a value, found a comment',
  UnexpectedEndOfComment: 'expected a value, found a comment',
  UnexpectedEndOfString: BROKEN_STRING,
  InvalidUnicode: BROKEN_STRING,
  InvalidEscapeCharacter: BROKEN_STRING,
  InvalidCharacter: BROKEN_STRING,
  '<unknown ParseErrorCode>': 'expected a value',
}

/**
 * Reads a JSON text. Objects have no prototype, so that `__proto__` is a name like any other.
 * @throws {JsonFault} the first error, with its position
 */
export function parseJson(text: string): unknown {
  let root: unknown
  /** The objects and arrays that are open, each with the name that its next value gets. */
  const open: { readonly inside: Record<string, unknown> | unknown[]; name: string }[] = []
  const put = (value: unknown): void => {
    const last = open.at(-1)
    if (last === undefined) root = value
    else if (Array.isArray(last.inside)) last.inside.push(value)
    else last.inside[last.name] = value
  }
  const begin = (inside: Record<string, unknown> | unknown[], line: number, column: number): void => {
    if (open.length > MAX_DEPTH) throw new JsonFault(`nested deeper than ${MAX_DEPTH} levels`, line, column)
    put(inside)
    open.push({ inside, name: '' })
  }
  const end = (): void => void open.pop()
  const visitor: jsonc.JSONVisitor = {
    onObjectBegin: (_at, _length, line, column) => begin(Object.create(null), line, column),
    onArrayBegin: (_at, _length, line, column) => begin([], line, column),
    onObjectProperty: (name, _at, _length, line, column) => {
      const last = open.at(-1) as (typeof open)[number]
      if (Object.hasOwn(last.inside, name)) throw new JsonFault(`duplicate name ${JSON.stringify(name)}`, line, column)
      last.name = name
    },
    onLiteralValue: (value: unknown, _at, _length, line, column) => {
      if (value === Number.POSITIVE_INFINITY || value === Number.NEGATIVE_INFINITY)
        throw new JsonFault('number out of range', line, column)
      put(value)
    },
    onObjectEnd: end,
    onArrayEnd: end,
    onError: (code, at, _length, line, column) => {
      const found = at < text.length ? '' : ', found end of input'
      throw new JsonFault(`${WORDS[jsonc.printParseErrorCode(code)]}${found}`, line, column)
    },
  }
  jsonc.visit(text, visitor, { disallowComments: true, allowTrailingComma: false })
  return root
}
