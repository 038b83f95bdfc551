/**
 * GTIN rules: reading, keys, check digits and the customary form, as cases and as properties.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkDigit, expandUpcE, gtinText, readGtin, readGtins } from '../../gtin-service/gtin.ts'

/** A valid GTIN of one of the four lengths, as text, built with a check digit worked out in another way. */
const gtin = fc
  .constantFrom(7, 11, 12, 13)
  .chain((length) => fc.stringMatching(new RegExp(`^[0-9]{${length}}$`)).map((body) => body + digitByTable(body)))

/** The check digit as the GS1 table lays it out: 13 columns with weights 3 1 3 1 ... 3, the number at the right. */
function digitByTable(body: string): string {
  const columns = [...body.padStart(13, '0')].map((digit, column) => Number(digit) * (column % 2 === 0 ? 3 : 1))
  const sum = columns.reduce((a, b) => a + b)
  return String(Math.ceil(sum / 10) * 10 - sum)
}

describe('what is read', () => {
  test.each([
    ['123456789012', 'the seed, 12 digits'],
    ['0123456789012', '13 digits, a zero in front'],
    ['00123456789012', '14 digits, two zeros in front'],
    ['1-23456-78901-2', 'as printed below a bar code'],
    ['1 23456 78901 2', 'with spaces'],
    ['  123456789012 ', 'copied with its surroundings'],
    ['1 - 2 3456789012', 'spaces around a hyphen'],
  ])('%j is the seed: %s', (text) => {
    expect(readGtin(text)).toBe(123456789012)
  })

  test.each([
    ['', 'length'],
    ['   ', 'length'],
    ['1234567', 'length'],
    ['123456789', 'length'],
    ['12345678901', 'length'],
    ['000123456789012', 'length'],
    ['123456789013', 'check-digit'],
    ['1234567890128x', 'characters'],
    ['-123456789012', 'characters'],
    ['123456789012-', 'characters'],
    ['123456789012 -', 'characters'],
    ['+123456789012', 'characters'],
    ['123456789012.0', 'characters'],
    ['1e11', 'characters'],
    ['0x1cbe991a14', 'characters'],
    ['12345678901\u0662', 'characters'],
    ['\uff11\uff12\uff13456789012', 'characters'],
    ['123456789012\n', 'characters'],
    ['123456\u00a0789012', 'characters'],
  ])('%j is no GTIN: %s', (text, fault) => {
    expect(readGtin(text)).toBe(fault)
  })
})

describe('different trade items', () => {
  test('a carton (indicator 1 to 9) has another key than its unit, whose own 14 digits begin with 0', () => {
    const unit = readGtin('0123456789012')
    expect(readGtin('00123456789012')).toBe(unit)
    const keys = new Set([unit])
    for (let indicator = 1; indicator <= 9; indicator++) {
      const body = `${indicator}012345678901`
      const carton = readGtin(body + checkDigit(body))
      expect(carton).toBeTypeOf('number')
      keys.add(carton)
    }
    expect(keys.size).toBe(10)
  })

  test('a carton keeps its 14 digits', () => {
    const body = '1012345678901'
    const text = body + checkDigit(body)
    expect(gtinText(readGtin(text) as number)).toBe(text)
  })
})

describe('the customary form', () => {
  test.each([
    ['00123456789012', '123456789012'],
    ['0012345678905', '012345678905'],
    ['04006381333931', '4006381333931'],
    ['00000096385074', '96385074'],
    ['000096385074', '96385074'],
    ['00000000000017', '00000017'],
  ])('%s is written %s', (text, customary) => {
    expect(gtinText(readGtin(text) as number)).toBe(customary)
  })
})

describe('properties', () => {
  test('every GTIN with a right check digit is read, and written back it is the same trade item in no more digits', () => {
    fc.assert(
      fc.property(gtin, (text) => {
        const key = readGtin(text)
        expect(key).toBe(Number(text))
        const customary = gtinText(key as number)
        expect(customary.length).toBeLessThanOrEqual(text.length)
        expect([8, 12, 13, 14]).toContain(customary.length)
        expect(readGtin(customary)).toBe(key)
      }),
    )
  })

  test('zeros in front up to a longer form never change the key', () => {
    fc.assert(
      fc.property(gtin, fc.constantFrom(8, 12, 13, 14), (text, length) => {
        expect(readGtin(text.padStart(length, '0'))).toBe(readGtin(text))
      }),
    )
  })

  test('any one wrong digit, and any wrong check digit, is no GTIN', () => {
    fc.assert(
      fc.property(gtin, fc.nat(13), fc.integer({ min: 1, max: 9 }), (text, place, by) => {
        const at = place % text.length
        const wrong = (Number(text[at]) + by) % 10
        expect(readGtin(text.slice(0, at) + wrong + text.slice(at + 1))).toBe('check-digit')
      }),
    )
  })

  test('spaces anywhere, and hyphens between digits, change nothing', () => {
    fc.assert(
      fc.property(gtin, fc.infiniteStream(fc.constantFrom('', ' ', '-', ' - ', '--')), (text, separators) => {
        const [first, ...rest] = text
        const typed = ` ${first}${rest.map((digit) => separators.next().value + digit).join('')} `
        expect(readGtin(typed)).toBe(readGtin(text))
      }),
    )
  })

  test('any other text is no GTIN, and the same text always gets the same answer', () => {
    const alphabet = fc.constantFrom(...'0123456789 -x+./%\u00e9\u0663')
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: alphabet, maxLength: 20 })), (text) => {
        const read = readGtin(text)
        expect(readGtin(text)).toBe(read)
        const digits = text.replaceAll(/[ -]/g, '')
        const isGtin =
          /^(\d{8}|\d{12,14})$/.test(digits) &&
          !/^ *-|- *$/.test(text) &&
          digitByTable(digits.slice(0, -1)) === digits.at(-1)
        expect(typeof read === 'number').toBe(isGtin)
      }),
    )
  })

  test('the check digit agrees with the GS1 table', () => {
    fc.assert(
      fc.property(gtin, (text) => {
        expect(checkDigit(text.slice(0, -1))).toBe(Number(text.at(-1)))
      }),
    )
  })
})

describe('what clients send beside a plain GTIN', () => {
  const SEED = 123456789012
  test.each([
    ['123456789012\r', 'a scanner\u2019s suffix'],
    ['123456789012\r\n', 'another one'],
    ['123456789012\t', 'a third one'],
    ['\u0002123456789012\u0003', 'between STX and ETX'],
    ['\u00a0123456\u00a0789012\u3000', 'spaces of other kinds'],
    ['\uff11\uff12\uff13456789012', 'full-width digits'],
    ['1\u201123456\u201378901\u22122', 'dashes of other kinds'],
    ['\u200e123456\u200b789012\u2069\ufeff', 'invisible marks'],
    ['(01)00123456789012', 'an element string as printed'],
    ['(01) 00123456789012', 'with a space'],
    ['(01)00123456789012(17)270101(10)AB-1', 'with others behind it'],
    ['(17)270101(01)00123456789012', 'with others before it'],
    ['0100123456789012', 'as scanned'],
    ['010012345678901217270101', 'with others behind it'],
    ['0100123456789012\u001d10ABC', 'behind a separator'],
    ['10ABC\u001d0100123456789012', 'before it'],
    [']C10100123456789012', 'GS1-128'],
    [']e00100123456789012', 'GS1 DataBar'],
    [']d2\u001d010012345678901210ABC\r', 'GS1 DataMatrix'],
    [']Q30100123456789012', 'GS1 QR'],
    [']E00123456789012', 'EAN-13 and UPC-A'],
    [']I100123456789012', 'ITF-14'],
    ['https://id.gs1.org/01/00123456789012', 'a Digital Link'],
    ['https://id.gs1.org/01/00123456789012/10/ABC?17=270101#x', 'with more behind it'],
    ['HTTP://example.com:8080/shop/de/01/123456789012?a=/b', 'on another host, below a path'],
    ['/01/00123456789012/', 'its path alone'],
  ])('%j is the seed: %s', (text) => {
    expect(readGtins(text)).toEqual([SEED])
  })

  test.each([
    ['(01)0012345678901'],
    ['(01)001234567890123'],
    ['(02)00123456789012'],
    ['(01)00123456789013'],
    ['x(01)00123456789012'],
    ['0200123456789012'],
    ['0100123456789013'],
    ['0100123456789012x'],
    ['1001001234567890120'],
    [']C1'],
    [']'],
    ['https://id.gs1.org/01/0012345678901'],
    ['https://id.gs1.org/01/00123456789012x'],
    ['https://id.gs1.org/?q=/01/00123456789012'],
    ['https://id.gs1.org/#/01/00123456789012'],
    ['javascript:/01/00123456789012'],
    ['id.gs1.org/01/00123456789012'],
    ['12345678901'],
    ['1234567890'],
    ['12345678901\u0662'],
    ['\u2212123456789012'],
    ['\u00b923456789012'],
    ['123456789012/'],
    ['%31'],
    [''],
  ])('%j is none', (text) => {
    expect(readGtins(text)).toEqual([])
  })

  test('11 digits have lost their leading zero, where the check digit agrees', () => {
    expect(readGtins('12345678905')).toEqual([12345678905])
    expect(readGtins('1-23456-78905')).toEqual([12345678905])
  })

  test.each([
    ['01234505', '012000003455'],
    ['01234514', '012100003454'],
    ['01234523', '012200003453'],
    ['01234531', '012300000451'],
    ['01234543', '012340000053'],
    ['01234558', '012345000058'],
    ['01234565', '012345000065'],
    ['01234596', '012345000096'],
    ['04252614', '042100005264'],
  ])('UPC-E %s stands for %s', (printed, gtin) => {
    expect(expandUpcE(printed)).toBe(gtin)
    expect(readGtins(printed)).toContain(Number(gtin))
    expect(readGtins(`${printed[0]} ${printed.slice(1, 7)} ${printed[7]}`)).toContain(Number(gtin))
  })

  test('8 digits that are also a number for use inside a company mean that first', () => {
    expect(readGtins('01234565')).toEqual([1234565, 12345000065])
    expect(readGtins('96385074')).toEqual([96385074])
  })

  test('whatever is a plain GTIN means that first, and all that is read is sound', () => {
    fc.assert(
      fc.property(gtin, (text) => {
        expect(readGtins(text)[0]).toBe(readGtin(text))
        for (const spelled of [`(01)${text.padStart(14, '0')}`, `/01/${text}`, `${text}\r\n`]) {
          expect(readGtins(spelled)).toContain(readGtin(text))
        }
      }),
    )
    const alphabet = fc.constantFrom(...'0123456789()]/ :C-\u001d', 'https://', '/01/', '(01)')
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: alphabet, maxLength: 60 })), (text) => {
        for (const key of readGtins(text)) expect(readGtin(gtinText(key))).toBe(key)
      }),
    )
  })
})

test('a check digit is asked for with a GTIN that lacks only that', () => {
  expect(() => checkDigit('123')).toThrow(RangeError)
  expect(() => checkDigit('1234567890x')).toThrow(RangeError)
})
