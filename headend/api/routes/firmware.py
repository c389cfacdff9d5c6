"""Firmware images that meters can be offered."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from headend.api import views
from headend.api.answers import Pager, accepted, documented
from headend.api.fields import Body, Id, PageQuery
from headend.api.problems import invalid
from headend.api.services import Caller, Parts
from headend.service.firmware import add_firmware, list_firmware
from ohmesh.model.errors import WireError

if TYPE_CHECKING:
    from headend.service.firmware import Firmware

router = APIRouter(prefix="/v1/firmware", tags=["commands"])


class AddFirmware(Body):
    """An image, signed by the maker of the meters, in Base64; at most 512 KiB."""

    firmware: Id
    image_base64: Annotated[str, Field(min_length=1, max_length=700_000)]


def _view(one: Firmware) -> views.Firmware:
    return views.Firmware(one.name, one.version, one.size, one.sha256.hex(), one.added_at)


@router.get("", responses=documented("FirmwarePage"), name="list_firmware")
async def list_all(
    request: Request, parts: Parts, who: Caller, query: Annotated[PageQuery, Query()]
) -> Response:
    """List firmware images by name."""
    scope = query.scope("firmware", tenant=who.tenant_id)
    pager = Pager(request, parts.cursors, scope, query)
    (after,) = pager.behind(tuple[str], ("",))
    plan = list_firmware(who.tenant_id, after, pager.limit)
    return pager.page(await parts.store.run(who.tenant_id, plan), _view, lambda one: (one.name,))


@router.post(
    "", status_code=201, responses=documented("Firmware", created=201), name="add_firmware"
)
async def add(parts: Parts, who: Caller, body: AddFirmware) -> Response:
    """Keep an image; meters check its maker's signature themselves."""
    try:
        image = base64.b64decode(body.image_base64, validate=True)
        plan = add_firmware(who.tenant_id, body.firmware, image, who.name, parts.now())
        made = await parts.store.run(who.tenant_id, plan)
    except (binascii.Error, ValueError, WireError) as error:
        raise invalid("/body/image_base64", str(error)) from error
    return accepted(_view(made), replayed=made.replayed)
