/**
 * What a comparison finds and what it passes over: planted faults, by path and kind.
 */
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import {
  type ComparedAnswer,
  type CompareSettings,
  compare,
  type Decode,
  isQuick,
} from '../../../src/rules/evidence/compare.ts'
import { answer, compareJson, found, html, SETTINGS } from './make.ts'

describe('JSON', () => {
  test.each<[string, string, string, string[]]>([
    ['a value', '{"price":19.99}', '{"price":19.89}', ['value /price']],
    ['a member that is missing', '{"a":1,"b":2}', '{"a":1}', ['missing /b']],
    ['a member that is new', '{"a":1}', '{"a":1,"b":2}', ['extra /b']],
    ['null against missing', '{"a":null}', '{}', ['missing /a']],
    ['missing against null', '{}', '{"a":null}', ['extra /a']],
    ['null against a value', '{"a":null}', '{"a":""}', ['type /a']],
    ['a number as a string', '{"price":"19.99"}', '{"price":19.99}', ['type /price']],
    ['a string as a boolean', '{"a":"true"}', '{"a":true}', ['type /a']],
    ['an object as a list', '{"a":{}}', '{"a":[]}', ['type /a']],
    ['one for a list of one', '{"a":{"b":1}}', '{"a":[{"b":1}]}', ['type /a']],
    ['true for false', '{"a":true}', '{"a":false}', ['value /a']],
    ['rounding', '{"price":19.994}', '{"price":19.99}', ['value /price']],
    ['digits beyond a double', '{"id":9007199254740993}', '{"id":9007199254740992}', ['value /id']],
    ['digits behind the point beyond a double', '[0.1000000000000000000001]', '[0.1]', ['value /*']],
    ['what a double calls infinite', '[1e400]', '[1e401]', ['value /*']],
    ['what a double calls zero', '[1e-400]', '[0]', ['value /*']],
    ['case', '{"a":"X"}', '{"a":"x"}', ['value /a']],
    ['composed and decomposed letters', '{"a":"\u00e9"}', '{"a":"e\u0301"}', ['value /a']],
    ['white space in a string', '{"a":"x "}', '{"a":"x"}', ['value /a']],
    ['the name of a member', '{"priceEur":1}', '{"price_eur":1}', ['extra /price_eur', 'missing /priceEur']],
    ['the whole document', '1', '"1"', ['type ']],
    ['an empty body', '{}', '', ['missing ']],
    ['a body where there was none', '', '{}', ['extra ']],
    ['a byte order mark', '{}', '\ufeff{}', ['extra charset']],
    ['a key given twice', '{"a":1}', '{"a":2,"a":1}', ['extra /a']],
    ['a key with a slash and a tilde', '{"a/b~c":1}', '{"a/b~c":2}', ['value /a~1b~0c']],
    ['__proto__', '{"__proto__":{"a":1}}', '{"__proto__":{"a":2}}', ['value /__proto__/a']],
  ])('finds %s', (_, from, to, differences) => {
    const comparison = compareJson(from, to)
    expect(found(comparison)).toEqual(differences)
    // One that is there and one that is not have no fields to compare.
    expect(comparison.bodyCompared).toBe(!['missing ', 'extra '].includes(differences[0] as string))
  })

  test.each<[string, string, string]>([
    ['white space', '{"a":[1,2]}', ' {\n"a" : [ 1 ,\t2 ] }\r\n'],
    ['the order of members', '{"a":1,"b":{"c":2,"d":3}}', '{"b":{"d":3,"c":2},"a":1}'],
    [
      'the spelling of a number',
      '[1,1.50,100,0,1e400,12345678901234567890]',
      '[1.0,15e-1,1E+2,-0.0,10e399,12345678901234567890.0]',
    ],
    ['escapes', '"\u00e9/"', '"\\u00e9\\/"'],
  ])('passes over %s', (_, from, to) => {
    expect(compareJson(from, to)).toEqual({ differences: [], bodyCompared: true, isCut: false, note: null })
  })

  test('shows both values', () => {
    expect(compareJson('{"a":12.50,"b":"x","c":[1,{"d":null}]}', '{"a":"12.50","b":"y"}').differences).toEqual([
      { path: '/a', kind: 'type', from: '12.50', to: '"12.50"' },
      { path: '/b', kind: 'value', from: '"x"', to: '"y"' },
      { path: '/c', kind: 'missing', from: '[1,{"d":null}]', to: null },
    ])
  })

  test('shows at most 100 characters, by which long values can be told apart', () => {
    const long = 'x'.repeat(70_000)
    const many = JSON.stringify(Array.from({ length: 5_000 }, (_, i) => i))
    const pairs = [
      `"${long}a"`,
      `"${long}b"`,
      many,
      `"${'\u{1f600}'.repeat(99)}"`,
      `1${'0'.repeat(200)}`,
      `{"${long}":1}`,
    ]
    for (const from of pairs) {
      for (const to of pairs) {
        for (const difference of compareJson(from, to).differences) {
          expect(difference.from?.length).toBeLessThanOrEqual(100)
          expect(difference.from?.isWellFormed()).toBe(true)
          expect(difference.from).not.toBe(difference.to)
        }
      }
    }
  })
})

describe('lists', () => {
  const named = (...names: string[]): string => JSON.stringify(names.map((name) => ({ id: name, price: 1 })))

  test('the same elements in another order are one difference', () => {
    expect(found(compareJson('{"items":[1,2,3]}', '{"items":[3,1,2]}'))).toEqual(['order /items'])
    expect(found(compareJson(named('a', 'b', 'c'), named('b', 'a', 'c')))).toEqual(['order '])
  })

  test('a longer or shorter list is one difference, wherever the element is', () => {
    expect(found(compareJson('{"items":[1,2,3]}', '{"items":[1,3]}'))).toEqual(['length /items'])
    expect(found(compareJson(named('a', 'b', 'c'), named('x', 'a', 'b', 'c')))).toEqual(['length '])
    expect(found(compareJson('[]', '[1]'))).toEqual(['length '])
  })

  test('a changed element is found among moved, missing and new ones by its id', () => {
    const changed = named('a', 'b', 'c', 'd').replace('"b","price":1', '"b","price":2')
    expect(found(compareJson(changed, named('d', 'c', 'b', 'a')))).toEqual(['order ', 'value /*/price'])
    expect(found(compareJson(changed, named('x', 'a', 'b', 'c', 'd')))).toEqual(['length ', 'value /*/price'])
    expect(found(compareJson(changed, named('d', 'b', 'c')))).toEqual(['length ', 'value /*/price'])
  })

  test('several changed elements of an unordered list are compared with their own', () => {
    const from = [1, 2, 3, 4, 5].map((id) => ({ id, price: 10, currency: 'EUR' }))
    const to = [4, 2, 5, 1, 3].map((id) => ({ id, price: 11, currency: 'EUR' }))
    expect(found(compareJson(JSON.stringify(from), JSON.stringify(to), { unordered: [''] }))).toEqual([
      'value /*/price',
    ])
  })

  test('where the order does not count, nothing else is passed over', () => {
    const settings = { unordered: ['/a', '/b/*/c'] }
    expect(found(compareJson('{"a":[1,2,2]}', '{"a":[2,1,2]}', settings))).toEqual([])
    expect(found(compareJson('{"a":[1,2,2]}', '{"a":[2,1,1]}', settings))).toEqual(['value /a/*'])
    expect(found(compareJson('{"a":[1,2]}', '{"a":[2,1,1]}', settings))).toEqual(['length /a'])
    expect(found(compareJson('{"b":[{"c":[1,2]}]}', '{"b":[{"c":[2,1]}]}', settings))).toEqual([])
    expect(found(compareJson('{"b":[[1,2]]}', '{"b":[[2,1]]}', settings))).toEqual(['order /b/*'])
  })
})

describe('folding', () => {
  test.each([
    ['an index', '[[{"a":1}]]', '/*/*/a'],
    ['a number', '{"4006381333931":{"a":1}}', '/*/a'],
    ['a UUID', '{"f81d4fae-7dec-11d0-a765-00a0c91e6bf6":{"a":1}}', '/*/a'],
    ['a hash', '{"d41d8cd98f00b204e9800998ecf8427e":{"a":1}}', '/*/a'],
    ['a date', '{"2026-11-29":{"a":1}}', '/*/a'],
    ['an e-mail address', '{"jane@example.test":{"a":1}}', '/*/a'],
    ['a word with an id', '{"order-100234":{"a":1}}', '/*/a'],
    ['a long key', `{"${'x'.repeat(100)}":{"a":1}}`, '/*/a'],
    ['an empty key', '{"":{"a":1}}', '/*/a'],
    [
      'no name',
      '{"@type":{"xs:name":{"straße":{"address2":{"sha256":{"a":1}}}}}}',
      '/@type/xs:name/straße/address2/sha256/a',
    ],
  ])('%s', (_, json, path) => {
    expect(found(compareJson(json, json.replace('"a":1', '"a":2')))).toEqual([`value ${path}`])
  })

  const object = (members: number, value: (i: number) => unknown): string =>
    JSON.stringify(Object.fromEntries(Array.from({ length: members }, (_, i) => [`name${i}`, value(i)])))

  test('more than 50 members of one type are a map, a record with many columns is none', () => {
    const change = (json: string): string[] => found(compareJson(json, json.replace('"name7":7', '"name7":8')))
    expect(change(object(50, (i) => i))).toEqual(['value /name7'])
    expect(change(object(51, (i) => i))).toEqual(['value /*'])
    expect(change(object(80, (i) => (i % 2 ? i : 'text')))).toEqual(['value /name7'])
    expect(change(object(501, (i) => (i % 2 ? i : 'text')))).toEqual(['value /*'])
  })

  test('at most 100 differences, one for each path and kind', () => {
    const comparison = compareJson(
      object(400, (i) => (i % 2 ? i : 'a')),
      object(400, (i) => (i % 2 ? -i : 'b')),
    )
    expect(comparison.differences).toHaveLength(100)
    expect(comparison.note).toBe('more than 100 differences')
    const prices = (price: number): string => JSON.stringify(Array.from({ length: 1_000 }, (_, id) => ({ id, price })))
    expect(compareJson(prices(1), prices(2)).differences).toEqual([
      { path: '/*/price', kind: 'value', from: '1', to: '2' },
    ])
  })
})

describe('settings', () => {
  test.each<[string[], string[]]>([
    [['/a'], ['value /b/c', 'value /b/d/*']],
    [['/b'], ['value /a']],
    [['/b/*'], ['value /a']],
    [['/*/c'], ['value /a', 'value /b/d/*']],
    [['/b/d/1'], ['value /a', 'value /b/c']],
    [['/b/d/0'], ['value /a', 'value /b/c', 'value /b/d/*']],
    [['/*'], []],
    [[''], []],
    [
      ['status', 'header:content-type'],
      ['value /a', 'value /b/c', 'value /b/d/*'],
    ],
  ])('ignore %j', (ignore, differences) => {
    const from = '{"a":1,"b":{"c":1,"d":[1,2]}}'
    expect(found(compareJson(from, '{"a":2,"b":{"c":2,"d":[1,3]}}', { ignore }))).toEqual(differences)
  })

  test('what is ignored may be missing, of another type, given twice, or in another place of the list', () => {
    const ignore = ['/a', '/items/*/at']
    expect(found(compareJson('{"a":1}', '{}', { ignore }))).toEqual([])
    expect(found(compareJson('{}', '{"a":1}', { ignore }))).toEqual([])
    expect(found(compareJson('{"a":1}', '{"a":1,"a":[]}', { ignore }))).toEqual([])
    expect(
      found(compareJson('{"items":[{"n":1,"at":5},{"n":2}]}', '{"items":[{"n":2,"at":6},{"n":1}]}', { ignore })),
    ).toEqual(['order /items'])
  })

  test('a tolerance is relative, for numbers only, and never makes moved or missing elements', () => {
    const tolerant = (from: string, to: string): string[] => found(compareJson(from, to, { tolerance: 0.01 }))
    expect(tolerant('{"a":[100,{"b":-200}]}', '{"a":[101,{"b":-199}]}')).toEqual([])
    expect(tolerant('[100]', '[102]')).toEqual(['value /*'])
    expect(tolerant('[0]', '[1e-9]')).toEqual(['value /*'])
    expect(tolerant('[1e-400]', '[2e-400]')).toEqual(['value /*'])
    expect(tolerant('[1e400]', '[1.001e400]')).toEqual(['value /*'])
    expect(tolerant('["100"]', '["101"]')).toEqual(['value /*'])
    expect(tolerant('[1.00,1.01,1.02]', '[1.01,1.02,1.03]')).toEqual([])
    expect(tolerant('[{"id":"a","n":100},{"id":"b","n":200}]', '[{"id":"a","n":101},{"id":"b","n":250}]')).toEqual([
      'value /*/n',
    ])
  })

  test('nothing that is redacted is shown, at whatever place the difference is', () => {
    const settings: Partial<CompareSettings> = { redact: ['/customer/email', '/cards/*', '/*/iban'] }
    const secret = ['canary', '4111111111111111', 'DE02120300000000202051']
    const from = `{"customer":{"id":1,"email":"${secret[0]}"},"cards":[{"no":${secret[1]}}],"bank":{"iban":"${secret[2]}"}}`
    const others = [
      '{}',
      '[]',
      '1',
      '',
      'broken',
      '{"customer":{"id":1,"email":5},"cards":[{"no":2},{}],"bank":[]}',
      '{"customer":{"email":null},"cards":["x"],"bank":{"iban":{"a":1}}}',
      from.replaceAll(/1|can/g, 'x'),
    ]
    for (const other of others) {
      for (const shown of [compareJson(from, other, settings), compareJson(other, from, settings)]) {
        expect(shown.differences.length).toBeGreaterThan(0)
        for (const one of secret) expect(JSON.stringify(shown)).not.toContain(one)
      }
    }
    expect(compareJson(from, '{}', settings).differences[0]).toEqual({
      path: '/customer',
      kind: 'missing',
      from: '{"id":1,"email":(redacted string)}',
      to: null,
    })
    const page = compare(html(`<p>${secret[0]}`), html('<p>other'), { ...SETTINGS, ...settings })
    expect(page.differences).toMatchObject([{ path: '', kind: 'value', from: '9 bytes', to: '8 bytes' }])
  })

  test.each<[string, string, string, string[], string[]]>([
    ['/tokens', '{"tokens":{"SecretOld":1}}', '{"tokens":{"SecretNew":1}}', ['/tokens/*'], []],
    ['/tokens', '{"tokens":{"a":{"SecretOld":1}}}', '{"tokens":{"a":{"SecretNew":1}}}', ['/tokens/*/*'], []],
    ['/tokens', '{"tokens":{"SecretOld":1}}', '{"tokens":{"SecretOld":2}}', ['/tokens/*'], []],
    ['/tokens', '{"tokens":[{"SecretOld":1}]}', '{"tokens":[{"SecretOld":2}]}', ['/tokens/*/*'], []],
    ['/tokens/*', '{"tokens":{"SecretOld":1}}', '{"tokens":{"SecretNew":1}}', ['/tokens/*'], []],
    ['/tokens/*', '{"tokens":{"SecretOld":1}}', '{}', ['/tokens'], []],
    ['/list/0', '{"list":[{"SecretOld":1}]}', '{"list":[{"SecretNew":1}]}', ['/list/*/*'], []],
    [
      '/tokens',
      '{"tokens":{"SecretTwice":1,"SecretTwice":2}}',
      '{"tokens":{"SecretTwice":2}}',
      ['/tokens/*'],
      ['/tokens/*'],
    ],
    [
      '/list/1',
      '{"list":[1,{"a":{"SecretTwice":1,"SecretTwice":2}}]}',
      '{"list":[1,{"a":{"SecretTwice":3}}]}',
      ['/list/*/*/*'],
      ['/list/*/*/*'],
    ],
    ['/other', '{"a":{"b":1,"b":2}}', '{"a":{"b":2}}', ['/a/b'], ['/a/b']],
  ])('no path or note tells a key below what is redacted: %s of %s', (redact, from, to, paths, repeated) => {
    for (const shown of [compareJson(from, to, { redact: [redact] }), compareJson(to, from, { redact: [redact] })]) {
      expect(JSON.stringify(shown)).not.toContain('Secret')
      expect([...new Set(shown.differences.map(({ path }) => path))]).toEqual(paths)
      expect(shown.note).toBe(repeated.length === 0 ? null : `duplicate key ${repeated[0]}`)
    }
  })
})

describe('status and header fields', () => {
  const json = (...headers: string[]) => answer('{}', { headers: ['Content-Type', 'application/json', ...headers] })
  const compareBoth = (from: ReturnType<typeof json>, to: ReturnType<typeof json>, ignore: string[] = []) =>
    compare(from, to, { ...SETTINGS, ignore })

  test('another status is the only difference', () => {
    expect(compareBoth(json(), html('<h1>Not found'))).toMatchObject({ bodyCompared: false })
    expect(compareBoth(json(), answer('', { status: 404, headers: [] }))).toEqual({
      differences: [{ path: 'status', kind: 'value', from: '200', to: '404' }],
      bodyCompared: false,
      isCut: false,
      note: 'nothing but the status compared',
    })
    expect(found(compareBoth(answer('{"a":1}'), answer('{"a":2}', { status: 203 }), ['status']))).toEqual(['value /a'])
  })

  test.each<[string, string[], string[], string[]]>([
    ['a value', ['Location', '/a'], ['location', '/b'], ['value header:location']],
    ['a missing field', ['Cache-Control', 'no-store'], [], ['missing header:cache-control']],
    ['a new field', [], ['Cache-Control', 'no-store'], ['extra header:cache-control']],
    [
      'the order of directives',
      ['Cache-Control', 'no-cache, max-age=1'],
      ['Cache-Control', 'Max-Age=1,  no-cache'],
      [],
    ],
    ['lines of one field', ['Cache-Control', 'a', 'cache-control', 'b'], ['Cache-Control', 'a, b'], []],
    ['a field that is not compared', ['Date', 'x', 'Server', 'y'], ['Via', 'z'], []],
    ['the value of a cookie', ['Set-Cookie', 'sid=1; Path=/'], ['Set-Cookie', 'sid=2'], []],
    [
      'the name of a cookie',
      ['Set-Cookie', 'sid=1'],
      ['Set-Cookie', 'SID=1'],
      ['extra cookie:SID', 'missing cookie:sid'],
    ],
    ['a cookie without a name', ['Set-Cookie', 'canary; Path=/'], [], ['missing cookie:*']],
    ['another value without a name', ['Set-Cookie', 'canary'], ['Set-Cookie', '=kanari; Secure'], []],
    ['an empty cookie', ['Set-Cookie', ' ; a=b', 'Set-Cookie', '='], [], []],
    ['a cookie that is named after a visitor', ['Set-Cookie', 'visit_1234567=1'], [], ['missing cookie:*']],
  ])('%s', (_, from, to, differences) => {
    expect(found(compareBoth(json(...from), json(...to)))).toEqual(differences)
    expect(
      found(
        compareBoth(json(...from), json(...to), [
          'header:Location',
          'header:cache-control',
          'cookie:sid',
          'cookie:SID',
          'cookie:*',
        ]),
      ),
    ).toEqual([])
  })

  test.each([
    ['text/html; charset=utf-8', 'text/html; charset=iso-8859-1', ['value header:content-type']],
    ['text/html; charset=utf-8', 'text/html', ['value header:content-type']],
    ['text/html; charset=utf-8', 'text/html;charset="UTF-8"', []],
    ['Text/HTML', 'text/html', []],
    ['multipart/mixed; boundary=a', 'multipart/mixed; boundary=A', ['value header:content-type']],
  ])('%s against %s', (from, to, differences) => {
    expect(found(compare(html('x', from), html('x', to), SETTINGS))).toEqual(differences)
  })

  test('neither cookies nor values in a query are shown', () => {
    const at = (secret: string) =>
      json('Set-Cookie', `a${secret}=${secret}`, 'Location', `/x;sid=${secret}?t=${secret}&u=1#${secret}`)
    const settings = { ...SETTINGS, headers: [...SETTINGS.headers, 'set-cookie'] }
    const { differences } = compare(at('canary'), at('kanari'), settings)
    expect(differences).toContainEqual({
      path: 'header:location',
      kind: 'value',
      from: '/x;sid=…?t=…&u=…#…',
      to: '/x;sid=…?t=…&u=…#…',
    })
    expect(JSON.stringify(differences.map(({ from, to }) => [from, to]))).not.toMatch(/canary|kanari/)
  })

  // In quadratic time it would be minutes.
  test('a long value is shown in time that grows with its length', () => {
    for (const unit of ['<', '</', 'http:', '//', '=', '&a=', ';a=', '/x;']) {
      const [from, nothing] = [unit.repeat(1_000_000), ''].map((value) => answer('{}', { headers: ['link', value] }))
      const settings = { ...SETTINGS, headers: ['link'] }
      expect(found(compare(from as ComparedAnswer, nothing as ComparedAnswer, settings))).toEqual(['value header:link'])
    }
  })

  test.each([
    ['location', '/x?SECRET', '/x?…'],
    ['location', '/x?next=/y?SECRET', '/x?next=…'],
    ['location', '/x?/y?SECRET=1', '/x?…'],
    ['location', '/x?U0VDUkVU==&SECRET', '/x?…&…'],
    ['location', '/x?a=1>SECRET', '/x?a=…'],
    ['location', 'http://u:SECRET@h/x', 'http://…@h/x'],
    ['location', '//SECRET@h/x#SECRET', '//…@h/x#…'],
    ['location', 'https:\\\\u:SECRET@SECRET@h\\x', 'https:\\\\…@h\\x'],
    ['content-location', '/x?a=1;SECRET', '/x?a=…'],
    ['refresh', '0; url=/x;sid=SECRET?SECRET', '0; url=/x;sid=…?…'],
    ['refresh', '5;URL="http://u:SECRET@h/?t=SECRET"', '5;URL="http://…@h/?t=…'],
    [
      'link',
      '</x;sid=SECRET?t=SECRET>; rel="next", <http://u:SECRET@h/?SECRET#SECRET>; rel=up',
      '</x;sid=…?t=…>; rel="next", <http://…@h/?…#…>; rel=up',
    ],
    ['x-next', 'to http://u:SECRET@h/x;sid=SECRET?t=SECRET', 'to http://…@h/x;sid=…?t=…'],
    ['authorization', 'Bearer SECRET', '(redacted)'],
    ['authentication-info', 'nextnonce="SECRET"', '(redacted)'],
    ['proxy-authenticate', 'Negotiate SECRET', '(redacted)'],
    ['proxy-authorization', 'Basic SECRET', '(redacted)'],
    ['proxy-authentication-info', 'SECRET', '(redacted)'],
    ['www-authenticate', 'Negotiate SECRET', '(redacted)'],
    ['cookie', 'SECRET', '(redacted)'],
    ['content-type', 'text/html; charset=utf-8', 'text/html; charset=utf-8'],
    ['x-cache', 'a/b, max-age=3', 'a/b, max-age=3'],
  ])('of %s: %s nothing is shown but %s', (name, value, shown) => {
    const [from, to] = [value, value.replaceAll('SECRET', 'OTHER')].map((one) => answer('{}', { headers: [name, one] }))
    const settings = { ...SETTINGS, headers: [name] }
    const nothing = answer('{}', { headers: [] })
    expect(compare(from as typeof nothing, nothing, settings).differences).toEqual([
      { path: `header:${name}`, kind: 'missing', from: shown, to: null },
    ])
    const isSecret = value.includes('SECRET')
    expect(found(compare(from as typeof nothing, to as typeof nothing, settings))).toEqual(
      isSecret ? [`value header:${name}`] : [],
    )
  })
})

describe('other bodies', () => {
  test('of HTML and XML white space does not count, every other character does', () => {
    const page = '<html>\n  <p>\n    Prices: <b>19.99</b> EUR\n  </p>\n</html>\n'
    expect(found(compare(html(page), html('<html><p>Prices: <b>19.99</b> EUR</p></html>'), SETTINGS))).toEqual([])
    expect(compare(html(page), html(page.replace('19.99', '19.89')), SETTINGS).differences).toEqual([
      {
        path: '',
        kind: 'value',
        from: '<html><p>Prices:<b>19.99</b>EUR</p></html>',
        to: '<html><p>Prices:<b>19.89</b>EUR</p></html>',
      },
    ])
  })

  test('text is read by its charset, and what is none in it is a difference of its own', () => {
    const latin = (last: number) => new Uint8Array([0x3c, 0x70, 0x3e, last])
    const [utf8, iso] = ['text/xml; charset=utf-8', 'text/xml; charset=iso-8859-1'] as const
    expect(found(compare(html('<p>é', utf8), html(latin(0xe9), iso), SETTINGS))).toEqual(['value header:content-type'])
    const unsaid = compare(html('<p>é', utf8), html(latin(0xe9), utf8), SETTINGS)
    expect(unsaid.differences).toEqual([
      { path: 'charset', kind: 'type', from: 'text in its charset', to: 'no text in its charset' },
    ])
    expect(unsaid.note).toBe('body is no text in its charset')
    expect(found(compare(html('<p>é', utf8), html(latin(0xe8), utf8), SETTINGS))).toEqual(['type charset', 'value '])
    expect(found(compare(html(latin(0xe9), utf8), html(latin(0xe8), utf8), SETTINGS))).toEqual(['value '])
    expect(found(compare(html('<p>'), html('\ufeff<p>'), SETTINGS))).toEqual(['extra charset'])
  })

  test('a charset that nobody knows is read as UTF-8', () => {
    for (const type of ['text/html', 'application/json']) {
      const of = (a: number) => html(`{"a":${a}}`, `${type}; charset=nonsense`)
      expect(found(compare(of(1), of(2), SETTINGS))).toEqual(['value /a'])
    }
    const page = (word: string) => html(`<p>${word}`, 'text/html; charset=nonsense')
    expect(found(compare(page('é'), page('e'), SETTINGS))).toEqual(['value '])
  })

  test('JSON that is no UTF-8 is still compared by its members', () => {
    const latin = (json: string) => answer(Uint8Array.from(json, (character) => character.charCodeAt(0)))
    const settings = { ...SETTINGS, ignore: ['charset'] }
    const from = latin('{"name":"Schl\u00fcssel","price":1}')
    expect(found(compare(from, answer('{"name":"Schl\u00fcssel","price":2}'), SETTINGS))).toEqual([
      'type charset',
      'value /price',
    ])
    expect(found(compare(from, answer('{"name":"Schl\u00fcssel","price":1}'), settings))).toEqual([])
    const both = compare(from, latin('{"name":"Schl\u00f6ssel","price":1}'), SETTINGS)
    expect([found(both), both.note]).toEqual([['value /name'], 'body is no text in its charset'])
  })

  test('the rest is compared by length and bytes', () => {
    const image = (...bytes: number[]) => answer(new Uint8Array(bytes), { headers: ['Content-Type', 'image/png'] })
    expect(found(compare(image(1, 2, 3), image(1, 2, 4), SETTINGS))).toEqual(['value '])
    expect(found(compare(image(1, 2, 3), image(1, 2), SETTINGS))).toEqual(['length '])
    expect(found(compare(image(1, 2, 3), image(1, 2, 3), SETTINGS))).toEqual([])
  })

  test('JSON is known by its type on either side, or by how it begins on both', () => {
    for (const type of ['application/problem+json; charset=utf-8', 'text/x-json', 'text/html', 'text/plain', '']) {
      expect(found(compare(html('{"a":1}', type), html('{"a":2}', type), SETTINGS)), type).toEqual(['value /a'])
    }
    expect(found(compare(answer('{"a":1}'), html('{"a":2}'), SETTINGS))).toEqual([
      'value /a',
      'value header:content-type',
    ])
    expect(found(compare(html('{a}'), html('{ a}'), SETTINGS))).toEqual(['value '])
  })

  test('JSON that is none is a difference where the other is', () => {
    for (const broken of [
      '<html>',
      '{"a":1',
      '{"a":1}x',
      "{'a':1}",
      '[1,]',
      '[01]',
      '[+1]',
      '[.5]',
      '[1.]',
      '["\t"]',
      '["\\x"]',
      '[NaN]',
      'tru',
      '"',
    ]) {
      const comparison = compareJson('{"a":1}', broken)
      expect(found(comparison), broken).toEqual(['type '])
      expect(comparison.note).toBe('body is not valid JSON (to)')
    }
    const both = compareJson('<p>1', '<p>2')
    expect([found(both), both.note]).toEqual([['value '], 'body is not valid JSON'])
  })

  test('a note tells a key given twice, also where nothing differs', () => {
    const twice = '{"items":[{"price":1,"price":2}]}'
    expect(compareJson(twice, ` ${twice}`)).toEqual({
      differences: [],
      bodyCompared: true,
      isCut: false,
      note: 'duplicate key /items/*/price',
    })
  })

  test('bodies that differ as a whole tell of no field; the fields of a list do', () => {
    expect(compare(html('<i>1'), html('<i>2'), SETTINGS)).toMatchObject({ bodyCompared: false })
    expect(compare(html('<i>1'), html('<i>1'), SETTINGS)).toMatchObject({ bodyCompared: true })
    expect(compareJson('[{"a":1}]', '[{"a":1},{"a":2}]')).toMatchObject({ bodyCompared: true })
  })

  test('what fails on both sides is no evidence, and what fails on one side differs', () => {
    const failed = { ...answer('oops'), status: 503 }
    expect(compare(failed, failed, SETTINGS)).toMatchObject({ differences: [], bodyCompared: false })
    expect(found(compare(failed, answer('oops'), SETTINGS))).toEqual(['value status'])
  })

  test('a body beyond the bounds is not compared', () => {
    const comparison = compare(answer(null), html('{}'), SETTINGS)
    expect(found(comparison)).toEqual(['value header:content-type'])
    expect(comparison).toMatchObject({ bodyCompared: false, note: 'HEAD: no bodies' })
    const settings = { ...SETTINGS, ignore: ['body'] }
    expect(compare(answer(null), html('{}'), settings)).toMatchObject({ bodyCompared: true, note: null })
  })

  const csv = ['Content-Type', 'text/csv']
  const large = (tooLarge: number | null, headers: readonly string[] = csv) => ({
    ...answer(null, { headers }),
    tooLarge,
  })
  const small = answer('a;b', { headers: csv })
  test.each([
    ['declared lengths', large(101), large(102), ['101 bytes', '102 bytes']],
    ['one too large', small, large(5_000_000), ['3 bytes', '5000000 bytes']],
    ['one too large, of any length', large(null), small, ['larger than maxBody', '3 bytes']],
  ])('of bodies beyond the bounds lengths are compared: %s', (_, from, to, [old, young]) => {
    const comparison = compare(from, to, SETTINGS)
    expect(comparison.differences).toMatchObject([{ path: '', kind: 'length', from: old, to: young }])
    expect(compare(from, to, { ...SETTINGS, ignore: ['body'] }).differences).toEqual([])
  })

  const json = ['Content-Type', 'application/json']
  const coded = [...csv, 'Content-Encoding', 'gzip']
  test.each([
    ['the same length', large(101), large(101)],
    ['a length that is not known', large(101), large(null)],
    ['JSON', large(101, json), large(102, json)],
    ['HTML', large(101, ['Content-Type', 'text/html']), html('<p>')],
    ['no type, which may be JSON', large(101, []), large(102, [])],
    ['JSON of another type', large(101), answer('[1]', { headers: csv })],
    ['a coding', large(101, coded), large(102, coded)],
  ])('but not where they may differ for other reasons, or are not known: %s', (_, from, to) => {
    expect(compare(from, to, { ...SETTINGS, headers: [] })).toMatchObject({
      ...{ differences: [], bodyCompared: false, note: 'body larger than maxBody: raise shadow.maxBody' },
    })
  })
})

describe('content codings', () => {
  const coded = (body: string | Uint8Array, coding: string) =>
    answer(body, { headers: ['Content-Type', 'application/json', 'Content-Encoding', coding] })
  /** Stands for codings: `a` and `b` are put before what they code. */
  const decode: Decode = (coding, body) => {
    if (coding === 'large') return 'too large'
    if (coding !== 'a' && coding !== 'b') return 'unknown'
    return body[0] === coding.charCodeAt(0) ? body.subarray(1) : 'broken'
  }
  const compareCoded = (from: ReturnType<typeof coded>, to: ReturnType<typeof coded>) =>
    compare(from, to, SETTINGS, decode)

  test('are taken off, the last one first', () => {
    expect(found(compareCoded(coded('ba{"x":1}', 'a, B'), answer('{"x":1}')))).toEqual([])
    expect(found(compareCoded(coded('ba{"x":1}', 'identity, a,b'), coded('a{"x":2}', 'a')))).toEqual(['value /x'])
    expect(found(compareCoded(coded('', 'a'), answer('')))).toEqual([])
  })

  test('that are not known or too large leave the body out', () => {
    for (const [coding, why] of [
      ['xyz', 'unknown'],
      ['large', 'too large'],
    ] as const) {
      expect(compareCoded(coded('1', coding), answer('2'))).toEqual({
        differences: [],
        bodyCompared: false,
        isCut: false,
        note: `content-encoding ${coding} not decoded: ${why}`,
      })
    }
    expect(compare(coded(gzipSync('1'), 'gzip'), answer('1'), SETTINGS).bodyCompared).toBe(false)
  })

  test('that a body is not in are a difference', () => {
    expect(found(compareCoded(coded('x', 'a'), answer('1')))).toEqual(['type '])
    expect(found(compareCoded(answer('1'), coded('x', 'a')))).toEqual(['type '])
    expect(compareCoded(coded('x', 'a'), coded('y', 'a'))).toMatchObject({ differences: [], bodyCompared: false })
    expect(found(compareCoded(coded('{}', 'a'), answer('{}')))).toEqual(['type '])
  })
})

test('a comparison that does not look into bodies is quick', () => {
  const other = answer('{"a":2}')
  expect(isQuick(answer('{}'), answer('{}'), SETTINGS)).toBe(true)
  expect(isQuick(answer(null), other, SETTINGS)).toBe(true)
  expect(isQuick(answer('{}', { status: 500 }), other, SETTINGS)).toBe(true)
  expect(isQuick(answer('{}', { status: 500 }), other, { ...SETTINGS, ignore: ['status'] })).toBe(false)
  expect(isQuick(answer('{}'), other, SETTINGS)).toBe(false)
  expect(isQuick(answer('{}', { headers: ['Content-Encoding', 'gzip'] }), answer('{}'), SETTINGS)).toBe(false)
})
