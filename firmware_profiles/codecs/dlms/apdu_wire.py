"""APDUs of a client session: values <-> bytes.

    GET-Request     C0 | 01 normal, 02 next block, 03 list
    GET-Response    C4 | 01 normal, 02 block, 03 list
    SET-Request     C1 | 01 normal, 02 first block, 03 block, 04 list
    SET-Response    C5 | 01 normal, 02 block, 03 last block, 05 list
    ACTION-Request  C3 | 01 normal, 02 next block, 04 first block, 06 block
    ACTION-Response C7 | 01 normal, 02 block, 04 next block
    Exception-Response D8 | state error | service error

Each goes on with invoke-id-and-priority, one byte. Source: IEC 62056-5-3, clause 7.3.
"""

from __future__ import annotations

from firmware_profiles.codecs import axdr
from firmware_profiles.codecs.cursor import Cursor, malformed, unsupported
from firmware_profiles.codecs.dlms.apdu import (
    RESPONSE_OFFSET,
    AcceptedResponse,
    Block,
    BlockRequest,
    BlockResponse,
    ExceptionResponse,
    ListRequest,
    ListResponse,
    NextRequest,
    NormalRequest,
    NormalResponse,
    Request,
    Response,
    Selection,
    Service,
    Tag,
    Target,
)
from firmware_profiles.codecs.dlms.security import read_length
from ohmesh.model.obis import Obis

_OBIS_SIZE = 6
_LIST_MAX = 256


def _access(selection: Selection | None) -> bytes:
    if selection is None:
        return b"\0"
    return b"\1" + bytes((selection.selector,)) + selection.parameters


def _head(tag: int, kind: int, invoke: int) -> bytes:
    return bytes((tag, kind, invoke))


def request_bytes(request: Request) -> bytes:
    """The APDU of a request."""
    service, invoke = request.service, request.invoke
    if isinstance(request, NextRequest):
        return _head(service, 2, invoke) + request.number.to_bytes(4, "big")
    if isinstance(request, ListRequest):
        return _list_request_bytes(request)
    if isinstance(request, BlockRequest):
        return _block_request_bytes(request)
    body = request.target.to_bytes()
    if service is Service.ACTION:
        body += b"\1" + request.data if request.data else b"\0"
    else:
        body += _access(request.selection) + request.data
    return _head(service, 1, invoke) + body


def _list_request_bytes(request: ListRequest) -> bytes:
    kind = 3 if request.service is Service.GET else 4
    body = axdr.length_bytes(len(request.targets))
    body += b"".join(target.to_bytes() + _access(chosen) for target, chosen in request.targets)
    if request.service is Service.SET:
        body += axdr.length_bytes(len(request.data)) + b"".join(request.data)
    return _head(request.service, kind, request.invoke) + body


def _block_request_bytes(request: BlockRequest) -> bytes:
    first = request.target.to_bytes() if request.target else b""
    if request.service is Service.SET:
        kind = 2 if request.target else 3
        first += _access(request.selection) if request.target else b""
    else:
        kind = 4 if request.target else 6
    return _head(request.service, kind, request.invoke) + first + request.block.to_bytes()


def response_bytes(response: Response) -> bytes:
    """The APDU of a response."""
    if isinstance(response, ExceptionResponse):
        return response.to_bytes()
    tag = response.service + RESPONSE_OFFSET
    if isinstance(response, NormalResponse):
        return _head(tag, 1, response.invoke) + _result(response)
    if isinstance(response, BlockResponse):
        return _head(tag, 2, response.invoke) + _block_result(response)
    if isinstance(response, AcceptedResponse):
        return _accepted_bytes(response, tag)
    results = b"".join(
        _get_result(result, data) if response.service is Service.GET else bytes((result,))
        for result, data in response.results
    )
    kind = 3 if response.service is Service.GET else 5
    return _head(tag, kind, response.invoke) + axdr.length_bytes(len(response.results)) + results


def _get_result(result: int, data: bytes) -> bytes:
    return bytes((1, result)) if result else b"\0" + data


def _result(response: NormalResponse) -> bytes:
    if response.service is Service.GET:
        return _get_result(response.result, response.data)
    result = bytes((response.result,))
    if response.service is Service.SET:
        return result
    return result + (b"\1\0" + response.data if response.data else b"\0")


def _block_result(response: BlockResponse) -> bytes:
    block = response.block
    if response.service is not Service.GET:
        return block.to_bytes()
    head = bytes((block.last,)) + block.number.to_bytes(4, "big")
    if response.result:
        return head + bytes((1, response.result))
    return head + b"\0" + axdr.length_bytes(len(block.data)) + block.data


def _accepted_bytes(response: AcceptedResponse, tag: int) -> bytes:
    number = response.number.to_bytes(4, "big")
    if response.service is Service.ACTION:
        return _head(tag, 4, response.invoke) + number
    if response.result is None:
        return _head(tag, 2, response.invoke) + number
    return _head(tag, 3, response.invoke) + bytes((response.result,)) + number


def parse_request(apdu: bytes) -> Request:
    """Read a GET, SET or ACTION request. Raises DecodeError."""
    cursor = Cursor(apdu)
    tag, kind, invoke = cursor.u8(), cursor.u8(), cursor.u8()
    try:
        service = Service(tag)
    except ValueError:
        raise unsupported(f"the APDU {tag:02X} is no request of a session") from None
    request = _parse_request(cursor, service, kind, invoke)
    _end(cursor)
    return request


def _parse_request(cursor: Cursor, service: Service, kind: int, invoke: int) -> Request:
    if kind == 1:
        return _parse_normal(cursor, service, invoke)
    if kind == 2 and service is not Service.SET:
        return NextRequest(service, invoke, cursor.unsigned(4))
    if (service, kind) in {(Service.GET, 3), (Service.SET, 4)}:
        return _parse_list(cursor, service, invoke)
    if (service, kind) in {(Service.SET, 2), (Service.ACTION, 4)}:
        target = _target(cursor)
        selection = _selection(cursor) if service is Service.SET else None
        return BlockRequest(service, invoke, _block(cursor), target, selection)
    if (service, kind) in {(Service.SET, 3), (Service.ACTION, 6)}:
        return BlockRequest(service, invoke, _block(cursor))
    raise unsupported(f"the request {service:02X} {kind:02X}", 1)


def _parse_normal(cursor: Cursor, service: Service, invoke: int) -> NormalRequest:
    target = _target(cursor)
    if service is Service.ACTION:
        data = _data(cursor) if cursor.u8() else b""
        return NormalRequest(service, invoke, target, None, data)
    selection = _selection(cursor)
    data = _data(cursor) if service is Service.SET else b""
    return NormalRequest(service, invoke, target, selection, data)


def _parse_list(cursor: Cursor, service: Service, invoke: int) -> ListRequest:
    count = _count(cursor)
    targets = tuple([(_target(cursor), _selection(cursor)) for _ in range(count)])
    data: tuple[bytes, ...] = ()
    if service is Service.SET:
        if _count(cursor) != count:
            raise malformed("as many values as attributes are needed", cursor.offset)
        data = tuple([_data(cursor) for _ in range(count)])
    return ListRequest(service, invoke, targets, data)


def parse_response(apdu: bytes) -> Response:
    """Read a GET, SET, ACTION or exception response. Raises DecodeError."""
    cursor = Cursor(apdu)
    tag, kind = cursor.u8(), cursor.u8()
    if tag == Tag.EXCEPTION_RESPONSE:
        service_error = cursor.u8()
        return ExceptionResponse(
            kind, service_error, cursor.unsigned(4) if cursor.remaining else None
        )
    try:
        service = Service(tag - RESPONSE_OFFSET)
    except ValueError:
        raise unsupported(f"the APDU {tag:02X} is no response of a session") from None
    response = _parse_response(cursor, service, kind, cursor.u8())
    _end(cursor)
    return response


def _parse_response(cursor: Cursor, service: Service, kind: int, invoke: int) -> Response:
    if kind == 1:
        return _parse_result(cursor, service, invoke)
    if (service, kind) in {(Service.GET, 3), (Service.SET, 5)}:
        one = _parse_get_result if service is Service.GET else _parse_set_result
        return ListResponse(service, invoke, tuple([one(cursor) for _ in range(_count(cursor))]))
    return _parse_block_response(cursor, service, kind, invoke)


def _parse_block_response(cursor: Cursor, service: Service, kind: int, invoke: int) -> Response:
    if (service, kind) == (Service.GET, 2):
        return _parse_get_block(cursor, invoke)
    if (service, kind) == (Service.ACTION, 2):
        return BlockResponse(service, invoke, _block(cursor))
    if (service, kind) in {(Service.SET, 2), (Service.ACTION, 4)}:
        return AcceptedResponse(service, invoke, cursor.unsigned(4))
    if (service, kind) == (Service.SET, 3):
        result = cursor.u8()
        return AcceptedResponse(service, invoke, cursor.unsigned(4), result)
    raise unsupported(f"the response {service + RESPONSE_OFFSET:02X} {kind:02X}", 1)


def _parse_set_result(cursor: Cursor) -> tuple[int, bytes]:
    return cursor.u8(), b""


def _parse_result(cursor: Cursor, service: Service, invoke: int) -> NormalResponse:
    if service is Service.GET:
        return NormalResponse(service, invoke, *_parse_get_result(cursor))
    result = cursor.u8()
    if service is Service.SET or not cursor.u8():
        return NormalResponse(service, invoke, result)
    returned, data = _parse_get_result(cursor)
    return NormalResponse(service, invoke, result or returned, data)


def _parse_get_result(cursor: Cursor) -> tuple[int, bytes]:
    if cursor.u8():
        return cursor.u8(), b""
    return 0, _data(cursor)


def _parse_get_block(cursor: Cursor, invoke: int) -> BlockResponse:
    last, number = bool(cursor.u8()), cursor.unsigned(4)
    if cursor.u8():
        return BlockResponse(Service.GET, invoke, Block(number, last, b""), cursor.u8())
    return BlockResponse(Service.GET, invoke, Block(number, last, cursor.take(read_length(cursor))))


def _target(cursor: Cursor) -> Target:
    class_id = cursor.unsigned(2)
    return Target(class_id, Obis.from_bytes(cursor.take(_OBIS_SIZE)), cursor.signed(1))


def _selection(cursor: Cursor) -> Selection | None:
    if not cursor.u8():
        return None
    return Selection(cursor.u8(), _data(cursor))


def _block(cursor: Cursor) -> Block:
    last, number = bool(cursor.u8()), cursor.unsigned(4)
    return Block(number, last, cursor.take(read_length(cursor)))


def _data(cursor: Cursor) -> bytes:
    """One A-XDR value, checked and kept encoded."""
    start = cursor.offset
    _, end = axdr.decode(cursor.data, start, items_max=axdr.BYTES_MAX)
    cursor.skip(end - start)
    return cursor.data[start:end]


def _count(cursor: Cursor) -> int:
    count = read_length(cursor)
    if count > _LIST_MAX:
        raise unsupported(f"a list of {count}", cursor.offset)
    return count


def _end(cursor: Cursor) -> None:
    if cursor.remaining:
        raise malformed(f"{cursor.remaining} bytes behind the APDU", cursor.offset)
